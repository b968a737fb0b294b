"""Loaders with the faults that the tests look for: the watch must see each of them.

See `readers.py` for what a target is.
"""

import os
import subprocess
import sys
import time

import numpy as np

_TAKE = "len(b'x' * ({} << 20))"


def _target(act):
    def target(folder):
        (folder / "a").write_bytes(b"whole")
        uses = []

        def use():
            uses.append(0)
            if len(uses) > 1:  # the first use is of the good file
                act()

        return {"a": "bytes"}, use

    return target


def _in_a_child(mebibytes):
    code = _TAKE.format(mebibytes)
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def _refuse_for_memory():
    from kphotoz.errors import InputError

    try:
        np.empty(20 << 30, "u1")
    except MemoryError as error:
        raise InputError("Wanted: less. Received: more. Shrink it.") from error


def _stumble():
    raise KeyError("shape")


def _babble():
    from kphotoz.errors import InputError

    raise InputError("it does not work")


TARGETS = {
    "sound": (_target(lambda: None), 0),
    "hangs": (_target(lambda: time.sleep(1000)), 0),
    "takes_300_MiB": (_target(lambda: np.ones(300 << 20, "u1").sum()), 0),
    "takes_2200_MiB": (_target(lambda: np.ones(2200 << 20, "u1").sum()), 0),
    "child_takes_300_MiB": (_target(_in_a_child(300)), 0),
    "wants_20_GiB": (_target(_refuse_for_memory), 0),
    "crashes": (_target(lambda: os.abort()), 0),
    "stumbles": (_target(_stumble), 0),
    "babbles": (_target(_babble), 0),
}

"""Runs damaged files of one target, one after the other; the parent watches.

    python worker.py TARGET FOLDER FIRST END [PIPE]

repeats cases by number. Each case tells "begin N" and "end N OUTCOME MEBIBYTES", where
the outcome is used, refused, or what went wrong.
"""

import os
import pathlib
import re
import resource
import sys
import traceback
import zlib

import mutations
import numpy as np
import readers
import stores

TARGETS = readers.TARGETS | stores.TARGETS
_ROOM = 6 << 30  # bytes of addresses beyond those of the start: our machine's safety


def main(target: str, folder: str, first: int, end: int, pipe: int = 1) -> None:
    folder = pathlib.Path(folder)
    files, use = TARGETS[target][0](folder)
    good = {name: (folder / name).read_bytes() for name in files}
    use()  # the good files are used, or nothing is shown
    size = int(re.search(r"VmSize:\s+(\d+)", _status())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))
    for number in range(first, end):
        random = np.random.default_rng([zlib.crc32(target.encode()), number])
        name = str(random.choice(sorted(files)))
        (folder / name).write_bytes(mutations.KINDS[files[name]](random, good[name]))
        _tell(pipe, f"begin {number}")
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        outcome = _outcome(use)
        peak = int(re.search(r"VmHWM:\s+(\d+)", _status())[1]) >> 10
        _tell(pipe, f"end {number} {peak} {outcome}")
        (folder / name).write_bytes(good[name])


def _outcome(use) -> str:
    from kphotoz.errors import InputError

    try:
        use()
    except InputError as error:
        told = str(error)
        if "\n" in told or "Wanted" not in told or len(told) > 4000:
            return f"not one clean line: {told[:300]!r}"
        return "refused"
    except BaseException as error:
        if os.environ.get("KPHOTOZ_TRACEBACK"):
            traceback.print_exc()
        places = traceback.extract_tb(error.__traceback__)
        ours = [x for x in places if "kphotoz" in x.filename or "cli" in x.filename]
        name = pathlib.Path((ours or places)[-1].filename).name
        told = " ".join(str(error).split())[:200]
        return f"{type(error).__name__} at {name}:{(ours or places)[-1].lineno}: {told}"
    return "used"


def _status() -> str:
    return pathlib.Path("/proc/self/status").read_text()


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, (line.encode("utf-8", "replace")[:900] + b"\n"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))

"""The worker is a script beside its modules; the tests find them in the same way."""

import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def check(tmp_path):
    """Damages a target's files; notes a line where KPHOTOZ_HOSTILE_REPORT says."""
    import watch

    def check(name, count):
        begun, path = time.monotonic(), os.environ.get("KPHOTOZ_HOSTILE_REPORT")
        with watch.Watched([name], tmp_path) as worker:
            found = watch.check(name, count, worker, tmp_path)
        outcomes = [one.outcome for one in found.values()]
        facts = {word: outcomes.count(word) for word in ("used", "refused")}
        facts |= {"MiB": max(one.mebibytes for one in found.values())}
        facts |= {"seconds": round(time.monotonic() - begun)}
        if path:
            with open(path, "a") as file:
                file.write(f"{name}: {count}, {len(found)} different {facts}\n")

    return check

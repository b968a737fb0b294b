"""The worker is a script beside its modules; the tests find them in the same way."""

import os
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture
def check(tmp_path):
    """Runs the cases of a target; notes a line where KPHOTOZ_HOSTILE_REPORT says."""
    import watch

    def check(target, count):
        begun, path = time.monotonic(), os.environ.get("KPHOTOZ_HOSTILE_REPORT")
        cases = [f"{target}:{number}" for number in range(count)]
        found = list(watch.run(cases, tmp_path))
        wrong, outcomes = watch.wrong(found), [outcome for _, _, outcome in found]
        facts = {name: outcomes.count(name) for name in ("used", "refused")}
        facts |= {"MiB": max(taken for _, taken, _ in found)}
        facts |= {"seconds": round(time.monotonic() - begun)}
        if path:
            with open(path, "a") as file:
                file.write(f"{target}: {len(found)} {facts}\n")
        assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(wrong[:40])
        assert len(found) == count

    return check

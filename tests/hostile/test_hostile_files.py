"""Ten thousand damaged and hostile files: used, or refused in one line; nothing else.

Each case runs in a worker process: one that hangs for 10 s is killed and one that
crashes is started again behind the case. A failure names the target and the number:

    python tests/hostile/worker.py TARGET FOLDER NUMBER NUMBER+1
"""

import os
import pathlib
import select
import subprocess
import sys
import time

import pytest
import readers
import stores

HERE = pathlib.Path(__file__).parent
TARGETS = readers.TARGETS | stores.TARGETS
SECONDS, MEBIBYTES = 10, 2048
START = 120  # seconds that imports and good files may take; our choice


def run(target, folder, count):
    """Yields (number, MiB, outcome) of each case."""
    number = 0
    while number < count:
        ours, theirs = os.pipe()
        command = [sys.executable, str(HERE / "worker.py"), target, str(folder)]
        worker = subprocess.Popen(
            [*command, str(number), str(count), str(theirs)],
            pass_fds=[theirs],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        with open(ours, "rb", buffering=0) as pipe:
            number = yield from _watch(worker, pipe, number, count)


def _watch(worker, pipe, number, count):
    """Yields what a worker tells; returns the number to go on with."""
    held, begun, limit = b"", False, START
    end = time.monotonic() + limit
    while number < count:
        ready, _, _ = select.select([pipe], [], [], max(0, end - time.monotonic()))
        more = os.read(pipe.fileno(), 65536) if ready else b""
        if not more:
            worker.kill()
            said = worker.communicate()[1].decode(errors="replace").strip()[-300:]
            code = worker.returncode
            assert begun, f"the worker did not start ({code}): {said}"
            hung = f"hung for {limit} s" if not ready else f"crashed ({code}): {said}"
            yield number, 0, hung
            return number + 1
        *lines, held = (held + more).split(b"\n")
        for line in lines:
            word, told, *rest = line.decode(errors="replace").split(" ", 3)
            begun, end = True, time.monotonic() + SECONDS
            limit = SECONDS
            if word == "end":
                yield int(told), int(rest[0]), rest[1]
                number = int(told) + 1
    worker.communicate()
    return number


@pytest.mark.large
@pytest.mark.parametrize("target", list(TARGETS))
def test_hostile_files_are_used_or_refused_in_one_line(target, tmp_path, record):
    count = int(os.environ.get("KPHOTOZ_HOSTILE_CASES", TARGETS[target][1]))
    begun, wrong, counts, peak = time.monotonic(), [], {}, 0
    for number, mebibytes, outcome in run(target, tmp_path, count):
        peak = max(peak, mebibytes)
        counts[outcome] = counts.get(outcome, 0) + 1
        if outcome not in ("used", "refused") or mebibytes > MEBIBYTES:
            wrong.append(f"{target} {number}: {mebibytes} MiB, {outcome}")
    seconds = time.monotonic() - begun
    record(f"{target} {count} {counts.get('used', 0)} {peak} {seconds:.0f}")
    assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(wrong[:40])
    assert counts.get("used", 0) + counts.get("refused", 0) == count


def test_there_are_ten_thousand_cases():
    assert sum(count for _, count in TARGETS.values()) >= 10_000


@pytest.fixture
def record():
    """Notes a line in the file that KPHOTOZ_HOSTILE_REPORT names."""

    def note(line):
        if path := os.environ.get("KPHOTOZ_HOSTILE_REPORT"):
            with open(path, "a") as file:
                file.write(line + "\n")

    return note

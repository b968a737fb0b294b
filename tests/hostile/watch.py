"""Runs cases in a worker process that may hang, crash or take all memory."""

import os
import pathlib
import select
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
SECONDS, MEBIBYTES = 10, 2048
START = 120  # seconds that imports and good files may take; our choice


def run(cases, folder, seconds=SECONDS):
    """Yields (case, MiB, outcome) of each "TARGET:NUMBER".

    A worker that hangs for `seconds` is killed; one that ended is started again behind
    the case.
    """
    left = list(cases)
    while left:
        ours, theirs = os.pipe()
        command = [sys.executable, str(HERE / "worker.py"), str(folder), str(theirs)]
        worker = subprocess.Popen(
            [*command, *left],
            pass_fds=[theirs],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        with open(ours, "rb", buffering=0) as pipe:
            done = yield from _watch(worker, pipe, left, seconds)
        left = left[done:]


def _watch(worker, pipe, cases, seconds):
    """Yields what a worker tells; returns how many cases that were."""
    held, done, limit = b"", 0, START
    end = time.monotonic() + limit
    while done < len(cases):
        ready, _, _ = select.select([pipe], [], [], max(0, end - time.monotonic()))
        more = os.read(pipe.fileno(), 65536) if ready else b""
        if not more:
            worker.kill()
            said = worker.communicate()[1].decode(errors="replace").strip()[-300:]
            code = worker.returncode
            assert limit != START, f"the worker did not start ({code}): {said}"
            hung = f"hung for {limit} s" if not ready else f"crashed ({code}): {said}"
            yield cases[done], 0, hung
            return done + 1
        *lines, held = (held + more).split(b"\n")
        for line in lines:
            word, case, *rest = line.decode(errors="replace").split(" ", 3)
            limit, end = seconds, time.monotonic() + seconds
            if word == "end":
                assert case == cases[done]
                yield case, int(rest[0]), rest[1]
                done += 1
    worker.communicate()
    return done


def wrong(found, mebibytes=MEBIBYTES):
    """Returns what was neither used nor refused, or took too much memory.

    Args:
        found: sequence of (case, MiB, outcome).
        mebibytes: int. Limit.
    """
    return [
        f"{case}: {taken} MiB, {outcome}"
        for case, taken, outcome in found
        if outcome not in ("used", "refused") or taken > mebibytes
    ]

"""Uses damaged files in a worker process that may hang, crash or take all memory."""

import json
import os
import pathlib
import select
import subprocess
import sys
import time
import zlib
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings, target
from mutations import Damaged, damaging

HERE = pathlib.Path(__file__).parent
SECONDS, MEBIBYTES = 10, 2048
START = 120  # seconds that imports and good files may take; our choice


class Found(NamedTuple):
    """How a damaged file was taken."""

    mebibytes: int
    outcome: str

    def wrong(self, mebibytes: int = MEBIBYTES) -> bool:
        """Returns whether it was neither used nor refused, or took too much."""
        return self.outcome not in ("used", "refused") or self.mebibytes > mebibytes


class Watched:
    """A worker with its targets, which is started again when it dies.

    Args:
        names: sequence of targets.
        folder: path of the targets' files.
        seconds: float. After this time a use counts as hung. Defaults to the promise.
    """

    def __init__(self, names, folder, seconds=SECONDS):
        self._names, self._folder, self._seconds = list(names), folder, seconds
        self._start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def use(self, name: str, file: str, content: bytes) -> Found:
        """Returns how a target takes one of its files with other content."""
        path = self._folder / name / file
        path.write_bytes(content)
        self._worker.stdin.write(f"{name}\n".encode())
        self._worker.stdin.flush()
        begun = time.monotonic()
        told = self._answer(self._seconds)
        path.write_bytes(self.good[name][file])
        if told is None:
            ended = time.monotonic() - begun < self._seconds
            said, code = self._end()
            self._start()
            crashed, hung = f"crashed ({code}): {said}", f"hung for {self._seconds} s"
            return Found(0, crashed if ended else hung)
        mebibytes, outcome = told.split(" ", 1)
        return Found(int(mebibytes), outcome)

    def _start(self):
        ours, theirs = os.pipe()
        worker = [sys.executable, str(HERE / "worker.py")]
        with open(self._folder / "stderr.txt", "wb") as errors:
            self._worker = subprocess.Popen(
                [*worker, str(self._folder), str(theirs), *self._names],
                pass_fds=[theirs],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        os.close(theirs)
        self._pipe = open(ours, "rb", buffering=0)
        told = self._answer(START)
        assert told is not None, f"the worker did not start: {self._end()}"
        self.files = json.loads(told)
        self.good = {
            name: {file: (self._folder / name / file).read_bytes() for file in files}
            for name, files in self.files.items()
        }

    def _answer(self, seconds):
        """Returns a line; None if the worker ends or `seconds` pass before it."""
        line, end = b"", time.monotonic() + seconds
        while not line.endswith(b"\n"):
            left = max(0, end - time.monotonic())
            ready, _, _ = select.select([self._pipe], [], [], left)
            more = os.read(self._pipe.fileno(), 65536) if ready else b""
            if not more:
                return None
            line += more
        return line.decode(errors="replace").rstrip("\n")

    def _end(self):
        """Ends the worker; returns its last words and its code."""
        self._worker.kill()  # of no effect where it has ended
        self._worker.communicate()
        self._pipe.close()
        said = (self._folder / "stderr.txt").read_text(errors="replace").strip()
        return said[-300:], self._worker.returncode


def check(name, count, watched, folder):
    """Damages the files of a target `count` times; returns what was found, by content.

    Hypothesis chooses the damage, equally in every run, prefers what takes memory, and
    reduces the first that is wrong to a small one.

    Args:
        name: str, of a target.
        count: int.
        watched: Watched, or what has its `files`, `good` and `use`.
        folder: path, where damage that is taken wrongly is left.

    Raises:
        AssertionError: some is wrong.
    """
    found, kept = {}, folder / f"{name}.wrong"

    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.target, Phase.shrink],
    )
    @given(damaging(watched.files[name], watched.good[name]))
    def try_one(case: Damaged):
        one = watched.use(name, case.file, case.content)
        found[case.file, case.content] = one
        target(float(one.mebibytes))
        if one.wrong():
            kept.write_bytes(case.content)
        assert not one.wrong(), f"{one}: {case.file} is kept as {kept}"

    try_one()
    return found

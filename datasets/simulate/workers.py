"""Draws stamps in several processes, in order, at constant memory.

The processes are started as plain Python interpreters that import only this package's
`simulate` part. Forking is unsafe once TensorFlow runs threads, and `multiprocessing`'s
spawn would import the caller's main script again, TensorFlow included. Arrays travel
through the pipes in numpy's own formats.
"""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from kphotoz_datasets.simulate import stamps

__all__ = ["StampPool", "process_count"]

LIGHT = "KPHOTOZ_DATASETS_LIGHT"  # set for the processes: register no builders
CHUNK = 32  # stamps a message
AHEAD = 2  # messages a process may have waiting
FEW = 200  # stamps that are drawn sooner than processes start


def process_count() -> int:
    """Returns how many processes draw: KPHOTOZ_BUILD_PROCESSES, else the cores."""
    wanted = os.environ.get("KPHOTOZ_BUILD_PROCESSES", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    # Beyond 16 the process that writes the shards is the limit (our choice).
    return min(len(os.sched_getaffinity(0)), 16)


class StampPool:
    """Draws stamps of galaxies; use it in a `with` block.

    Args:
        imaging: stamps.Imaging.
        pool: dict of arrays. Galaxies to draw neighbours from.
        count: int. How many stamps will be asked for; few are drawn in this process.
        processes: int. [default: `process_count()`]
    """

    def __init__(
        self,
        imaging: stamps.Imaging,
        pool: dict[str, np.ndarray],
        count: int,
        processes: int | None = None,
    ):
        self._imaging = imaging
        self._pool = {name: pool[name] for name in stamps.COLUMNS}
        processes = processes or process_count()
        self._workers = []
        if processes > 1 and count > FEW:
            self._workers = [_start() for _ in range(processes)]
            setup = _pack(self._pool | {"imaging": _encode(imaging)})
            for worker in self._workers:
                _send(_ends(worker)[0], setup)
        self._waiting = [0] * len(self._workers)

    def __enter__(self) -> "StampPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()
            to_it, from_it = _ends(worker)
            with contextlib.suppress(BrokenPipeError):  # a message it never read
                to_it.close()
            from_it.close()
            worker.wait()

    def draw(self, galaxies: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the stamps (height, width, band) of `galaxies`, in order.

        One draw at a time; beginning another gives up the one before.

        Args:
            galaxies: dict of arrays: those of `stamps.COLUMNS` and `key` (n, integers).
        """
        names = [*stamps.COLUMNS, "key"]
        count = len(galaxies["key"])
        chunks = [
            {name: galaxies[name][start : start + CHUNK] for name in names}
            for start in range(0, count, CHUNK)
        ]
        if not self._workers:
            for chunk in chunks:
                yield from _draw(chunk, self._pool, self._imaging)
            return
        yield from self._draw_apart(chunks)

    def _draw_apart(self, chunks: list[dict]) -> Iterator[np.ndarray]:
        # Each process gets every n-th message. A message is far smaller than a pipe's
        # buffer, so sending never waits for a process that waits to be read.
        count = len(self._workers)
        self._discard()
        for number in range(len(chunks) + AHEAD * count):
            if number < len(chunks):
                to_it, _ = _ends(self._workers[number % count])
                _send(to_it, _pack(chunks[number]))
                self._waiting[number % count] += 1
            done = number - AHEAD * count
            if 0 <= done < len(chunks):
                yield from _unpack(self._answer(done % count))["stamps"]

    def _discard(self) -> None:
        """Reads what an earlier draw, given up half-way, has left in the pipes."""
        for number, waiting in enumerate(self._waiting):
            for _ in range(waiting):
                self._answer(number)

    def _answer(self, number: int) -> bytes:
        message = _receive(_ends(self._workers[number])[1])
        if message is None:
            raise RuntimeError(
                "A process that draws stamps has died; its message stands above. "
                "Out of memory? KPHOTOZ_BUILD_PROCESSES=1 draws in one process."
            )
        self._waiting[number] -= 1
        return message


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answers messages with stamps until `source` ends."""
    first = _receive(source)
    assert first is not None  # the pool begins with it
    setup = _unpack(first)
    imaging = _decode(setup.pop("imaging"))
    while (message := _receive(source)) is not None:
        images = np.stack(list(_draw(_unpack(message), setup, imaging)))
        _send(target, _pack({"stamps": images}))


def _draw(
    chunk: dict[str, np.ndarray], pool: dict[str, np.ndarray], imaging: stamps.Imaging
) -> Iterable[np.ndarray]:
    for row, key in enumerate(chunk["key"]):
        galaxy = {name: chunk[name][row] for name in stamps.COLUMNS}
        yield stamps.render(galaxy, pool, imaging, key)


def _start() -> subprocess.Popen:
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "kphotoz_datasets.simulate.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **threads, LIGHT: "1"},
    )


def _ends(worker: subprocess.Popen) -> tuple[IO[bytes], IO[bytes]]:
    assert worker.stdin and worker.stdout  # `_start` makes pipes of both
    return worker.stdin, worker.stdout


def _encode(imaging: stamps.Imaging) -> np.ndarray:
    return np.frombuffer(json.dumps(dataclasses.asdict(imaging)).encode(), np.uint8)


def _decode(text: np.ndarray) -> stamps.Imaging:
    return stamps.Imaging(**json.loads(text.tobytes()))


def _pack(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpack(message: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(message)) as file:
        return {name: file[name] for name in file.files}


def _send(pipe: IO[bytes], message: bytes) -> None:
    try:
        pipe.write(len(message).to_bytes(8, "little") + message)
        pipe.flush()
    except BrokenPipeError:
        pass  # the reader has died; whoever waits for its answer says so


def _receive(pipe: IO[bytes]) -> bytes | None:
    """Returns one message, or None where the writer has ended."""
    head = pipe.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head, "little")
    message = pipe.read(size)
    return message if len(message) == size else None


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

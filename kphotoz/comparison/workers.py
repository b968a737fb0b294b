"""Runs jobs in several processes at once, each when what it needs has ended."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

from kphotoz import backend
from kphotoz.comparison.plan import Job
from kphotoz.errors import InputError

__all__ = ["choose_count", "fits", "processes", "run_apart"]

_MOST = 4  # processes; the base of a seed, which others wait for, needs threads
_JOBS = 3  # that a process must have for its start to pay
# A process with its libraries and a small network [byte], and copies of the data in it.
_PROCESS, _COPIES = 1.5e9, 3
_SHARE = 0.75  # of the free memory; the rest is for others


def choose_count(data_bytes: int, planned: int) -> int:
    """Returns how many jobs to run at once, as memory allows: one a GPU, else a core.

    Args:
        data_bytes: int. Size of the inputs, of which every process has its own.
        planned: int. Jobs there are.
    """
    most = _devices() or min(_MOST, backend.threads())
    return max(1, min(most, _room(data_bytes, _SHARE), planned // _JOBS))


def fits(count: int, data_bytes: int) -> bool:
    """Returns whether so many jobs, as ran at once elsewhere, can run here.

    Args:
        count: int > 0.
        data_bytes: int. Size of the inputs.
    """
    most = _devices() or count
    return count <= max(1, min(most, _room(data_bytes, 1.0)))


def _devices() -> int:
    """Returns how many processes can have a device of their own besides the CPU."""
    others = backend.accelerators()
    # Processes cannot share other kinds, such as the cores of a TPU.
    return len(others) if all(one.startswith("gpu") for one in others) else 1


def _room(data_bytes: int, share: float) -> int:
    return int(share * backend.free_memory() // (_PROCESS + _COPIES * data_bytes))


def processes(count: int) -> futures.ProcessPoolExecutor:
    """Returns processes for Python's `with`, each with its share of threads and GPUs.

    Args:
        count: int > 0.
    """
    context, threads = backend.worker_context(), max(1, backend.threads() // count)
    return futures.ProcessPoolExecutor(
        count,
        context,
        initializer=backend.start_worker,
        initargs=(threads, dict(os.environ), backend.deal_gpus(count, context)),
    )


def run_apart(
    planned: Sequence[Job],
    needs: Callable[[Job], set[Job]],
    work: Callable[..., Any],
    arguments: Callable[[Job], tuple],
    count: int,
) -> Iterator[tuple[Job, Any]]:
    """Yields every job with what `work` returned for it, as they end.

    Args:
        planned: jobs in the order in which they are started as far as possible.
        needs: returns the planned jobs that must have ended before.
        work: function of a module, called with `arguments(job)` in another process.
        arguments: returns what can be sent to a process.
        count: int > 0. Processes.

    Raises:
        InputError: a process was killed.
    """
    waiting = list(planned)
    ended: set[Job] = set()
    running: dict[futures.Future, Job] = {}
    with processes(count) as pool:
        try:
            while waiting or running:
                ready = [job for job in waiting if needs(job) <= ended]
                for job in ready[: count - len(running)]:
                    waiting.remove(job)
                    running[pool.submit(work, *arguments(job))] = job
                done, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    ended.add(job)
                    yield job, future.result()
        except BaseException as error:
            for child in multiprocessing.active_children():
                child.terminate()
            if isinstance(error, futures.process.BrokenProcessPool):
                raise InputError(
                    f"Wanted: {count} jobs at once to end. Received: one of their "
                    "processes was killed, most often for lack of memory. Add --resume "
                    "and --jobs 1."
                ) from error
            raise

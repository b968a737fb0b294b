"""Imports of a backend without its notes, and processes that compute beside others."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue

from kphotoz.backend import devices
from kphotoz.errors import InputError

__all__ = [
    "deal_gpus",
    "import_quietly",
    "prepare_workers",
    "share_memory",
    "silence",
    "start_worker",
    "worker_context",
]

_PRELOADED = "kphotoz.comparison.preloaded"


def silence() -> None:
    """Silences notes about devices and tracing; has TensorFlow use its fast kernels."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves oneDNN off on CPUs without AVX-512, where it is 3 to 4 times
    # faster all the same: benchmarks/lora_step.py.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for name in ("tensorflow", "absl", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)


def import_quietly() -> None:
    """Imports Keras and TensorFlow without the notes that they print about devices.

    They write these to the file descriptor itself, before any log level applies.
    Exceptions still come through.

    Raises:
        InputError: the backend is JAX, which is not installed.
    """
    with open(os.devnull, "w") as nothing:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            import keras  # noqa: F401 - it is to be there
            import tensorflow  # noqa: F401
        except ModuleNotFoundError as error:
            if error.name != "jax":
                raise
            raise InputError(
                "Wanted: JAX for the backend jax. Received: none installed. Install it "
                "with pip install 'kphotoz[jax]', or choose --backend tensorflow."
            ) from error
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def worker_context() -> BaseContext:
    """Returns how to start processes that compute: forked from one with all imports.

    That one, a process of its own, has computed nothing yet and holds no data; where
    there is no such thing every process starts from nothing.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    return context


def share_memory() -> None:
    """Has every process take of a GPU's memory only what it needs.

    Either backend would give all of it to the first. Must come before a backend begins.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def prepare_workers() -> None:
    """Begins with the imports of `worker_context`, beside those of this process.

    KERAS_BACKEND must be set; other variables may still change.
    """
    if worker_context().get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()


def deal_gpus(count: int, context: BaseContext) -> SimpleQueue | None:
    """Returns a GPU for each of several processes, in turn; None if all share one.

    Args:
        count: int > 0. Processes.
        context: of these processes.
    """
    gpus = len([name for name in devices.accelerators() if name.startswith("gpu")])
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = listed if len(listed) == gpus else [str(number) for number in range(gpus)]
    if gpus < 2:
        return None
    hands = context.SimpleQueue()
    for number in range(count):
        hands.put(names[number % len(names)])
    return hands


def start_worker(
    threads: int,
    environment: Mapping[str, str],
    gpus: SimpleQueue | None = None,
) -> None:
    """Prepares a new process to compute for another one, and to end with it.

    Args:
        threads: int > 0. Threads to compute with.
        environment: variables of the other one.
        gpus: what `deal_gpus` returned; the process sees the one that it takes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent is told, and ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()
    silence()
    devices.use_threads(threads)
    import_quietly()
    devices.use_precision()


def _end_with_parent() -> None:
    # A killed parent cannot tell; its end is an event all the same.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

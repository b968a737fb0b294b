"""HDF5 files, looked through in another process before they are opened in this one.

On a damaged file libhdf5 may go round for ever or crash, below where Python could stop
it: a heap of text with an object of no length is enough.
"""

import functools
import math
import os
import pathlib
import signal
import subprocess
import sys

__all__ = ["check_hdf5"]

_PROBE = pathlib.Path(__file__).with_name("_hdf5_probe.py")
_SECONDS = 4.0  # of computing, for a small file, which takes milliseconds; our choice
_BYTES_PER_SECOND = 2e7  # what the slowest disk reads; our choice
_BUSY = 10  # by the clock, for a machine or a disk with much other work; our choice


def check_hdf5(path: str | os.PathLike, member: str | None = None) -> None:
    """Checks that libhdf5 gets through a file, and that its sizes can be true.

    A file that was checked is not checked again until it changes.

    Args:
        path: path of an HDF5 file, or of a zip file.
        member: str or None. Name of an HDF5 file in the zip file.

    Raises:
        ValueError: it hangs or crashes libhdf5, is damaged, declares far more than it
            holds, or keeps values in other files.
        OSError: it cannot be read.
    """
    stat = os.stat(path)
    _check(os.path.abspath(path), member, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _check(path: str, member: str | None, _: int, size: int, __: int) -> None:
    seconds = math.ceil(_SECONDS + size / _BYTES_PER_SECOND)
    command = [sys.executable, "-P", str(_PROBE), str(seconds), path]
    command += [member] if member else []
    too_slow = ValueError(f"libhdf5 does not get through it in {seconds} s")
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_BUSY * seconds,
        )
    except subprocess.TimeoutExpired:
        raise too_slow from None
    if done.returncode == -signal.SIGXCPU:
        raise too_slow
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise ValueError(said or f"libhdf5 crashes on it, status {done.returncode}")

"""Builds a data set once, whoever else asks, and clears up after killed builds."""

import contextlib
from collections.abc import Iterator

from etils import epath

__all__ = ["build_lock"]


@contextlib.contextmanager
def build_lock(folder: epath.Path) -> Iterator[None]:
    """Holds the right to build in `folder`; removes what killed builds left there.

    The lock belongs to the process and ends with it, so while it is held every
    ``incomplete.*`` folder in `folder` is a dead build's. Remote folders, and systems
    without file locks, are neither locked nor cleared.

    Args:
        folder: epath.Path. The configuration's folder, the parent of its versions.
    """
    try:
        import fcntl
    except ImportError:
        fcntl = None
    if fcntl is None or "://" in str(folder):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".build.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for stale in folder.glob("incomplete.*"):
            stale.rmtree()
        yield

"""Builds a data set once, whoever else asks, and clears up after killed builds."""

import contextlib
from collections.abc import Iterator

from etils import epath
from tensorflow_datasets.core import example_serializer

__all__ = ["build_lock"]


@contextlib.contextmanager
def build_lock(folder: epath.Path) -> Iterator[None]:
    """Holds the right to build in `folder`; removes what killed builds left there.

    What is built inside has the same bytes in every process.

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
        with _sorted_entries():
            yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".build.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for stale in folder.glob("incomplete.*"):
            stale.rmtree()
        with _sorted_entries():
            yield


@contextlib.contextmanager
def _sorted_entries() -> Iterator[None]:
    """Makes TFDS write the entries of an example in sorted order.

    Otherwise protobuf orders them by a seed that differs from process to process, so
    that equal data sets would have other bytes.
    """
    kind = example_serializer.ExampleSerializer
    plain = kind.serialize_example

    def serialize(self: example_serializer.ExampleSerializer, example: dict) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)

    kind.serialize_example = serialize
    try:
        yield
    finally:
        kind.serialize_example = plain

"""Builds a data set once, whoever else asks, and clears up after killed builds."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import tensorflow_datasets as tfds
from etils import epath
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.core.utils import shard_utils

__all__ = ["build_lock", "write_split"]


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
        has_locks = False
    else:
        has_locks = "://" not in str(folder)
    if not has_locks:
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


def write_split(
    builder: tfds.core.GeneratorBasedBuilder,
    split: str,
    examples: Iterable[tuple[int, bytes]],
    count: int,
    shard_config: shard_utils.ShardConfig | None = None,
) -> tfds.core.SplitInfo:
    """Writes encoded examples to the shards of a split, as they come.

    TFDS' own writer keeps a split that is not shuffled in memory, or in one temporary
    file that it then reads whole. Here memory does not grow with the split.

    Args:
        builder: the builder that is being built.
        split: str. Name of the split.
        examples: of key and serialized example, in the order to write.
        count: int > 0. How many there are.
        shard_config: TFDS' sizes of shards. [default: TFDS' own]
    """
    template = builder._get_filename_template(split_name=split)
    examples = iter(examples)
    first = next(examples)
    shards = (shard_config or shard_utils.ShardConfig()).get_number_shards(
        len(first[1]) * count, count
    )
    ends = shard_utils.get_shard_boundaries(count, shards)
    lengths = [stop - start for start, stop in zip([0, *ends], ends, strict=False)]
    size, written = 0, 0

    def counted(items: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        nonlocal size, written
        for key, record in items:
            size += len(record)
            written += 1
            yield key, record

    stream = counted(itertools.chain([first], examples))
    writer = builder._example_writer()
    for shard, length in enumerate(lengths):
        path = template.sharded_filepath(shard_index=shard, num_shards=shards)
        writer.write(path, itertools.islice(stream, length))
    if written != count or next(examples, None) is not None:
        raise RuntimeError(f"{split}: {count} examples were promised. Received others.")
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=lengths,
        num_bytes=size,
        filename_template=template,
    )

"""One split of one survey: its table and its inputs, each read once, kept after."""

import errno
import functools
import math
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kphotoz.backend import devices, machine
from kphotoz.data.survey_info import SurveyInfo, damaged_survey
from kphotoz.errors import InputError
from kphotoz.untrusted import check_size

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

__all__ = ["COLUMNS", "SplitStore", "allocate"]

TEXT_COLUMNS = ("id", "group")
NUMBER_COLUMNS = ("redshift", "redshift_error", "z_true", "magnitude", "ra", "dec")
COLUMNS = TEXT_COLUMNS + NUMBER_COLUMNS
_BATCH = 256  # examples read at once; our choice
# Of file systems that cannot reserve space.
_NO_RESERVING = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class SplitStore:
    """The examples of one split in the fixed order of their TFDS files.

    Args:
        builder: a built tfds builder. It is only read.
        split: str. Name of the split, or several joined by "+"; a split that the
            survey lacks is empty.
        info: SurveyInfo. Facts about the survey.
    """

    def __init__(
        self, builder: "tfds.core.DatasetBuilder", split: str, info: SurveyInfo
    ) -> None:
        self.builder = builder
        self.split = split
        self.info = info

    def __len__(self) -> int:
        return sum(self.info.counts.get(name, 0) for name in self.split.split("+"))

    @functools.cached_property
    def table(self) -> dict[str, np.ndarray]:
        """The catalogue: one row per example, text columns as str, numbers float64."""
        present = set(self.builder.info.features)
        batches = list(self.read([name for name in COLUMNS if name in present]))
        table = {}
        with damaged_survey(self.builder.data_dir):
            for name in COLUMNS:
                rows = [batch[name] for batch in batches if name in batch]
                column = np.concatenate(rows) if rows else None
                table[name] = self._column(name, column)
                if table[name].shape != (len(self),):
                    raise ValueError(f"{table[name].shape} values of {name}")
        return table

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        """Images or photometry, (n, *input_shape) float32, in memory or on disk."""
        shape, start = (len(self), *self.info.input_shape), 0
        folder = pathlib.Path(self.builder.data_dir)
        with damaged_survey(folder):
            stored = sum(path.stat().st_size for path in folder.iterdir())
            check_size(4 * math.prod(shape), stored, "the survey")
            inputs = allocate(shape)
            for batch in self.read([self.info.input]):
                stop = start + len(batch[self.info.input])
                inputs[start:stop] = batch[self.info.input]
                start = stop
            if start != len(self):
                raise ValueError(f"it has {start} of {len(self)} examples")
        return inputs

    def _column(self, name: str, column: np.ndarray | None) -> np.ndarray:
        if name in TEXT_COLUMNS:
            if column is None:
                return np.full(len(self), "", dtype=object)
            return np.array([item.decode() for item in column], dtype=object)
        if column is None:
            return np.full(len(self), np.nan)
        return column.astype(np.float64)

    def read(
        self, names: list[str], size: int = _BATCH, start: int = 0
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields the named features in batches, in order.

        Args:
            names: list of str. Features to decode.
            size: int > 0. Examples in a batch; the last may be shorter.
            start: int >= 0. Example to begin with.

        Raises:
            InputError: the built survey is damaged.
        """
        if not len(self):
            return
        import tensorflow_datasets as tfds

        with damaged_survey(self.builder.data_dir):
            if len(names) == 1 and self._is_stored_as_bytes(names[0]):
                batches = self._stored(names[0], size, start)
            else:
                batches = self._decoded(names, size, start)
            yield from tfds.as_numpy(batches.prefetch(2))

    def _decoded(self, names: list[str], size: int, start: int) -> "tf.data.Dataset":
        """Returns batches as TFDS reads them."""
        import tensorflow_datasets as tfds

        # One file after the other: interleaved reading would still be deterministic,
        # but its order would change with TFDS' defaults.
        config = tfds.ReadConfig(
            interleave_cycle_length=1,
            try_autocache=False,
            add_tfds_id=False,
            options=_one_thread(),
            num_parallel_calls_for_decode=1,
        )
        dataset = self.builder.as_dataset(
            split="+".join(self._present()),
            shuffle_files=False,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
        )
        return dataset.skip(start).batch(size)

    def _is_stored_as_bytes(self, name: str) -> bool:
        import tensorflow_datasets as tfds

        info = self.builder.info
        feature, records = info.features[name], tfds.core.FileFormat.TFRECORD
        if type(feature) is not tfds.features.Tensor or info.file_format != records:
            return False
        facts = feature.to_json_content()
        return (facts.encoding, facts.dtype) == ("bytes", "float32")

    def _stored(self, name: str, size: int, start: int) -> "tf.data.Dataset":
        """Returns batches of one array, decoded a batch at a time.

        TFDS decodes example by example, which takes half as long again.
        """
        tf = devices.tensorflow()
        info = self.builder.info
        spec = {name: tf.io.FixedLenFeature((), tf.string)}
        shape = info.features[name].shape

        def decode(examples: Any) -> dict[str, Any]:
            stored = tf.io.parse_example(examples, spec)[name]
            numbers = tf.io.decode_raw(stored, tf.float32)
            return {name: tf.reshape(numbers, (tf.size(stored), *shape))}

        files = [file for one in self._present() for file in info.splits[one].filepaths]
        dataset = tf.data.TFRecordDataset([os.fspath(file) for file in files])
        batches = dataset.skip(start).batch(size).map(decode)
        return batches.with_options(_one_thread())

    def _present(self) -> list[str]:
        return [name for name in self.split.split("+") if self.info.counts.get(name)]


def _one_thread() -> "tf.data.Options":
    """Returns options for reading by one thread beside what computes on the others.

    Arrays are only copied: passing them between threads costs a quarter more processor
    time and gains nothing (64x64x5 pixels, 2 cores, our measurement).
    """
    options = devices.tensorflow().data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    return options


def allocate(shape: tuple[int, ...]) -> np.ndarray:
    """Returns a float32 array to be filled: in memory, or on disk where it is large.

    Args:
        shape: tuple of int.

    Raises:
        InputError: it fits neither the memory nor the disk.
    """
    size = 4 * math.prod(shape)
    # Half of the free memory is our choice: the model and its batches need the rest.
    if size <= machine.free_memory() // 2:
        return np.empty(shape, np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"Wanted: room for {size / 2**30:.1f} GiB, too much for the memory, in "
            f"{tempfile.gettempdir()}. Received: {error.strerror or error}. Free the "
            "space, or set TMPDIR to a folder with space."
        ) from error


def _reserve(file: int, size: int) -> None:
    """Takes the disk space now: a disk that is full later would kill the process."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in _NO_RESERVING:
            raise

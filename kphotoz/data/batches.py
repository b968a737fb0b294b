"""tf.data pipelines: cached inputs, shuffled, batched, copied to the device last.

The inputs of a split are cached once for all its subsets, regimes and epochs; what is
shuffled are row numbers. So the order of data is a pure function of (seed, epoch,
step), no global seed plays a part, and a run may go on in the middle of an epoch.
"""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kphotoz.backend import devices, distribution, machine, together
from kphotoz.data.buffers import Buffers
from kphotoz.data.sample import Sample

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

__all__ = [
    "TrainingBatches",
    *("epoch_order", "in_memory", "ordered_batches", "shared_batches", "to_device"),
]

_AHEAD = 2  # batches kept ready on the device; our choice


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of `count` rows in one epoch, (count,) int64.

    Args:
        count: int >= 0. Number of rows.
        seed: int >= 0. Seed of the run.
        epoch: int >= 0. Number of the epoch.
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


class TrainingBatches:
    """The batches of a training run, epoch after epoch, of one and the same data set.

    Building a tf.data pipeline takes as long as several steps of a small network, and
    starting one as long as one step: it is built once, and `fit_epochs` starts it once.

    Of several processes that train together each gets its share of every batch. A
    short last batch that the devices cannot share evenly is repeated until they can,
    which keeps its means; it must be asked for alone.

    Args:
        sample: Sample. What to train on.
        batch_size: int > 0. Examples in a batch; the last batch may be short.
        seed: int >= 0. Seed of the run.
        labels: str or (n,) array. A column of the table or labels in table order.
        weights: (n,) array or None. Weights of the examples in table order.
    """

    def __init__(
        self,
        sample: Sample,
        *,
        batch_size: int,
        seed: int,
        labels: str | np.ndarray = "redshift",
        weights: np.ndarray | None = None,
    ) -> None:
        values = sample.table[labels] if isinstance(labels, str) else labels
        self._columns = [_aligned(sample, values, "labels")]
        if weights is not None:
            self._columns.append(_aligned(sample, weights, "weights"))
        self._sample, self._batch_size, self._seed = sample, batch_size, seed
        self._buffers = Buffers()
        self._rows: list[np.ndarray] = []  # of each batch of this epoch
        self._datasets: dict[int, tf.data.Dataset] = {}  # by their number of batches
        # Two, since what reads ahead has begun the next epoch.
        self._rows_of = functools.lru_cache(2)(self._split_rows)

    def epoch(
        self, number: int, *, first_step: int = 0, steps: int | None = None
    ) -> "tf.data.Dataset":
        """Returns the batches of one epoch: (inputs, labels[, weights]).

        A part of an epoch is asked for here, not cut from the result by `skip` and
        `take`: where batches wait on a GPU, TensorFlow allows no step after the copy
        to it. What was returned before gives other batches from here on.

        Args:
            number: int >= 0. Number of the epoch.
            first_step: int >= 0. Batches of this epoch that were already seen.
            steps: int or None. At most so many batches. [default: to the end]

        Returns:
            tf.data.Dataset of float32 tensors (batch, *input_shape), (batch,) and, with
            weights, (batch,). It tells nothing of its length, as `fit` explains.
        """
        stop = None if steps is None else first_step + steps
        batches = self._rows_of(number)[first_step:stop]
        self._rows = _share([*batches[:-1], *_shareable(batches)])
        count = len(self._rows)
        if count not in self._datasets:
            self._datasets[count] = self._dataset(
                range(count), lambda step: self._rows[step]
            )
        return self._datasets[count]

    def fit(
        self,
        model: "keras.Model",
        number: int,
        *,
        first_step: int = 0,
        steps: int | None = None,
    ) -> float:
        """Trains a compiled model on one epoch or a part of it, and returns its loss.

        Keras is told the number of batches here, not by the data set: for one of known
        length it makes another iterator at the end of an epoch and throws it away,
        which takes as long as the step of a small network.

        Args:
            model: keras.Model. Compiled.
            number: int >= 0. Number of the epoch.
            first_step: int >= 0. As for `epoch`.
            steps: int or None. As for `epoch`.
        """
        batches = self.epoch(number, first_step=first_step, steps=steps)
        count = len(self._rows)
        done = model.fit(batches, steps_per_epoch=count, shuffle=False, verbose=0)
        return done.history["loss"][-1]

    def fit_epochs(
        self, model: "keras.Model", numbers: range, ended: Callable[[float], bool]
    ) -> None:
        """Trains a compiled model on whole epochs, one after another, on one device.

        Where the steps of an epoch are so many whole calls of the compiled function,
        one `fit` of Keras takes them all from one iterator: it has the next batches
        ready when an epoch begins, and an epoch of few steps costs no start of its own.

        Args:
            model: keras.Model. Compiled.
            numbers: range. Numbers of the epochs.
            ended: called with the loss of each; returns whether to go on.
        """
        count = -(-len(self._sample) // self._batch_size)
        if count % model.steps_per_execution or _is_cut_short():
            for number in numbers:
                if not ended(self.fit(model, number)):
                    return
            return
        steps = range(numbers.start * count, numbers.stop * count)
        model.fit(
            self._dataset(
                steps, lambda step: self._rows_of(step // count)[step % count]
            ),
            initial_epoch=numbers.start,
            epochs=numbers.stop,
            steps_per_epoch=count,
            callbacks=[_ended(ended)],
            shuffle=False,
            verbose=0,
        )

    def _split_rows(self, number: int) -> list[np.ndarray]:
        """Returns the rows of each batch of an epoch."""
        order = epoch_order(len(self._sample), self._seed, number)
        return _split(order, self._batch_size)

    def _dataset(
        self, steps: range, rows_of: Callable[[int], np.ndarray]
    ) -> "tf.data.Dataset":
        """Returns the batches of so many steps, whose rows are asked for when read."""

        def read(step: int) -> list[np.ndarray]:
            rows = rows_of(int(step))
            inputs = self._sample.gather(rows, self._buffers)
            return [inputs, *(column[rows] for column in self._columns)]

        numbers = devices.tensorflow().data.Dataset.range(steps.start, steps.stop)
        numbers = _of_unknown_length(numbers)
        return to_device(_batches(self._sample, numbers, read, len(self._columns)))


def _is_cut_short() -> bool:
    """Returns whether Keras was told to end a `fit` early, for debugging."""
    from keras import config

    return bool(config.max_epochs() or config.max_steps_per_epoch())


def _ended(tell: Callable[[float], bool]) -> "keras.callbacks.Callback":
    """Returns a callback that tells of each epoch's loss, and may stop training."""
    import keras

    class Ended(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict) -> None:
            self.model.stop_training = not tell(logs["loss"])

    return Ended()


def ordered_batches(sample: Sample, *, batch_size: int) -> "tf.data.Dataset":
    """Returns batches of inputs in table order; the last batch may be short.

    Args:
        sample: Sample. What to read.
        batch_size: int > 0. Examples in a batch.
    """
    return _inputs(sample, _split(np.arange(len(sample)), batch_size))


def shared_batches(sample: Sample, *, batch_size: int) -> "tf.data.Dataset":
    """Returns this process' share of `ordered_batches`, for several devices.

    The last row is repeated until all devices have equally many.

    Args:
        sample: Sample. What to read.
        batch_size: int > 0. Examples in a batch of all devices, at least.
    """
    replicas = distribution.replicas()
    order = np.pad(np.arange(len(sample)), (0, -len(sample) % replicas), mode="edge")
    batch_size += -batch_size % replicas
    return _inputs(sample, _share(_split(order, batch_size)))


def _split(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    starts = range(0, len(order), batch_size)
    return [order[start : start + batch_size] for start in starts]


def _shareable(batches: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the last batch, if any, repeated until the devices share it evenly."""
    replicas = distribution.replicas()
    short = len(batches[-1]) if batches else 0
    if short % replicas == 0:
        return batches[-1:]
    if len(batches) > 1:
        raise ValueError(
            f"Wanted: a last batch of {short} alone, for {replicas} devices. "
            f"Received: {len(batches) - 1} others before it."
        )
    return [np.tile(batches[-1], replicas // math.gcd(short, replicas))]


def _share(batches: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the rows of each batch that this process reads."""
    index, count = together.process()
    if count == 1:
        return batches
    return [np.split(batch, count)[index] for batch in batches]


def to_device(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns the data set with its last step: batches wait on the device.

    Where TensorFlow computes on a GPU the batches are copied there ahead of time;
    elsewhere they wait in memory, under JAX too: there Keras itself copies one batch
    ahead to a GPU, and none on a CPU (`JAXEpochIterator` of Keras 3.15).
    """
    tf = devices.tensorflow()
    options = tf.data.Options()
    options.deterministic = True
    # Epochs are short: looking for a better pipeline costs more than it gains.
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.threading.private_threadpool_size = _readers()
    # Batches are already in their final form: sharding by file would do nothing good.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    dataset = dataset.with_options(options)
    # Several devices share each batch: then TensorFlow itself copies the parts.
    alone = devices.name() == "tensorflow" and distribution.replicas() == 1
    gpus = devices.gpus() if alone else []
    if not gpus:
        return dataset.prefetch(_AHEAD)
    return dataset.apply(tf.data.experimental.prefetch_to_device(f"/{gpus[0]}", _AHEAD))


def in_memory(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns the same batches, read once and held in memory ready-made.

    As those of a survey they tell nothing of their size: TensorFlow compiles faster
    steps where it is known, which a comparison of inputs must not count.

    Args:
        dataset: tf.data.Dataset of batches of tuples, all of one size.
    """
    tf = devices.tensorflow()
    columns = [tf.stack(column) for column in zip(*dataset, strict=True)]

    def of_any_size(*batch: Any) -> tuple:
        any_size = tf.compat.v1.placeholder_with_default
        return tuple(any_size(x, (None, *x.shape[1:])) for x in batch)

    held = tf.data.Dataset.from_tensor_slices(tuple(columns))
    return to_device(held.map(of_any_size))


def _aligned(sample: Sample, values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if len(values) != len(sample):
        raise ValueError(
            f"`{what}` must have one value for each of {len(sample)} rows. "
            f"Received: {len(values)}."
        )
    return values


def _inputs(sample: Sample, rows: list[np.ndarray]) -> "tf.data.Dataset":
    """Returns batches of inputs alone, of the given rows."""
    buffers = Buffers()

    def read(step: int) -> list[np.ndarray]:
        return [sample.gather(rows[step], buffers)]

    steps = devices.tensorflow().data.Dataset.range(len(rows))
    return to_device(_batches(sample, steps, read, 0))


def _of_unknown_length(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns the same elements: a choice between data sets has no known length."""
    datasets = devices.tensorflow().data.Dataset
    return datasets.choose_from_datasets(
        [dataset], datasets.from_tensors(np.int64(0)).repeat()
    )


def _batches(
    sample: Sample,
    steps: "tf.data.Dataset",
    read: Callable[[int], list[np.ndarray]],
    columns: int,
) -> "tf.data.Dataset":
    """Returns what `read` gives for each step: inputs, or tuples with columns."""
    tf = devices.tensorflow()
    sample.load()  # here, not in the thread that reads
    shapes = [(None, *sample.info.input_shape), *[(None,)] * columns]

    def batch(step: Any) -> Any:
        arrays = tf.numpy_function(read, [step], [tf.float32] * len(shapes))
        for tensor, shape in zip(arrays, shapes, strict=True):
            tensor.set_shape(shape)
        return tuple(arrays) if columns else arrays[0]

    readers = _readers()
    calls = readers if readers > 1 else None  # a single one needs no thread of its own
    return steps.map(batch, num_parallel_calls=calls)


def _readers() -> int:
    """Returns how many batches are read at a time.

    One where the processor computes: a second takes time from the first and from the
    step. Up to four beside a GPU, not measured.
    """
    return min(4, machine.cores()) if devices.accelerators() else 1

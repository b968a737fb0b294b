"""tf.data pipelines: cached inputs, shuffled, batched, copied to the device last.

The inputs of a split are cached once for all its subsets, regimes and epochs; what is
shuffled are row numbers. So the order of data is a pure function of (seed, epoch,
step), no global seed plays a part, and a run may go on in the middle of an epoch.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from kphotoz.backend import devices, distribution, together
from kphotoz.data.sample import Sample

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    *("epoch_order", "in_memory", "ordered_batches", "shared_batches", "to_device"),
    "training_batches",
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


def training_batches(
    sample: Sample,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    labels: str | np.ndarray = "redshift",
    weights: np.ndarray | None = None,
    first_step: int = 0,
    steps: int | None = None,
) -> "tf.data.Dataset":
    """Returns the batches of one epoch, (inputs, labels) or (inputs, labels, weights).

    A part of an epoch is asked for here, not cut from the result by `skip` and `take`:
    where batches wait on a GPU, TensorFlow allows no step after the copy to it.

    Of several processes that train together each gets its share of every batch. A
    short last batch that the devices cannot share evenly is repeated until they can,
    which keeps its means; it must be asked for alone.

    Args:
        sample: Sample. What to train on.
        batch_size: int > 0. Examples in a batch; the last batch may be short.
        seed: int >= 0. Seed of the run.
        epoch: int >= 0. Number of the epoch.
        labels: str or (n,) array. A column of the table or labels in table order.
        weights: (n,) array or None. Weights of the examples in table order.
        first_step: int >= 0. Batches of this epoch that were already seen.
        steps: int or None. At most so many batches. [default: to the end]

    Returns:
        tf.data.Dataset of float32 tensors (batch, *input_shape), (batch,) and, with
        weights, (batch,).
    """
    values = sample.table[labels] if isinstance(labels, str) else labels
    columns = [_aligned(sample, values, "labels")]
    if weights is not None:
        columns.append(_aligned(sample, weights, "weights"))
    stop = None if steps is None else (first_step + steps) * batch_size
    order = epoch_order(len(sample), seed, epoch)[first_step * batch_size : stop]
    short, replicas = len(order) % batch_size, distribution.replicas()
    if short % replicas:
        if short != len(order):
            raise ValueError(
                f"Wanted: a last batch of {short} alone, for {replicas} devices. "
                f"Received: {len(order) // batch_size} others before it."
            )
        order = np.tile(order, replicas // math.gcd(short, replicas))
        batch_size = len(order)
    return to_device(_batches(sample, *_share(order, batch_size), columns))


def ordered_batches(sample: Sample, *, batch_size: int) -> "tf.data.Dataset":
    """Returns batches of inputs in table order; the last batch may be short.

    Args:
        sample: Sample. What to read.
        batch_size: int > 0. Examples in a batch.
    """
    return to_device(_batches(sample, np.arange(len(sample)), batch_size, []))


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
    return to_device(_batches(sample, *_share(order, batch_size), []))


def _share(order: np.ndarray, batch_size: int) -> tuple[np.ndarray, int]:
    """Returns the rows of each batch that this process reads, and how many they are."""
    index, count = together.process()
    if count == 1:
        return order, batch_size
    batches = np.split(order, range(batch_size, len(order), batch_size))
    shares = [np.split(batch, count)[index] for batch in batches]
    return np.concatenate(shares), batch_size // count


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
    # Batches are already in their final form: sharding by file would do nothing good.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    dataset = dataset.with_options(options)
    # Several devices share each batch: then TensorFlow itself copies the parts.
    alone = devices.name() == "tensorflow" and distribution.replicas() == 1
    found = devices.gpus() if alone else []
    if not found:
        return dataset.prefetch(_AHEAD)
    return dataset.apply(
        tf.data.experimental.prefetch_to_device(f"/{found[0]}", _AHEAD)
    )


def in_memory(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns the same batches, read once and held in memory ready-made.

    Args:
        dataset: tf.data.Dataset of batches of tuples, all of one size.
    """
    tf = devices.tensorflow()
    columns = [tf.stack(column) for column in zip(*dataset, strict=True)]
    return to_device(tf.data.Dataset.from_tensor_slices(tuple(columns)))


def _aligned(sample: Sample, values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if len(values) != len(sample):
        raise ValueError(
            f"`{what}` must have one value for each of {len(sample)} rows. "
            f"Received: {len(values)}."
        )
    return values


def _batches(
    sample: Sample, order: np.ndarray, batch_size: int, columns: list[np.ndarray]
) -> "tf.data.Dataset":
    tf = devices.tensorflow()
    sample.load()  # here, not in two readers at a time
    shape = (None, *sample.info.input_shape)
    shuffled = tuple(column[order] for column in columns)

    def read(rows: "tf.Tensor", *values: "tf.Tensor") -> "tf.Tensor | tuple":
        inputs = tf.numpy_function(sample.gather, [rows], tf.float32)
        inputs.set_shape(shape)
        return (inputs, *values) if values else inputs

    dataset = tf.data.Dataset.from_tensor_slices((order.astype(np.int64), *shuffled))
    # Two readers at a time: one copies while the other waits for the device.
    return dataset.batch(batch_size).map(read, num_parallel_calls=2, deterministic=True)

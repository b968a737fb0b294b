"""One model trained by several devices, each on its share of every batch.

On JAX by `keras.distribution.DataParallel`, in one process or several; on TensorFlow by
`tf.distribute.MirroredStrategy`, in one process. A step is that of one device on the
whole batch: its mean loss, its gradients before they are clipped, and its statistics
for batch normalisation.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from kphotoz.backend import devices, together
from kphotoz.backend.cluster import Cluster
from kphotoz.errors import InputError

__all__ = [
    *("check_batch", "distribute", "replicas", "sum_over_replicas", "synchronize"),
]


@contextlib.contextmanager
def distribute(count: str = "1", cluster: Cluster | None = None) -> Iterator[None]:
    """Has models that are made in this context computed by several devices.

    Must be entered before anything is computed.

    Args:
        count: str. Devices of this process, or "all". [default: "1"]
        cluster: Cluster or None. The processes that train together.

    Raises:
        InputError: there are fewer devices, or the processes do not meet.
    """
    if cluster is not None:
        _join(cluster)
    if devices.name() == "jax":
        context = _data_parallel(count)
    else:
        context = _mirrored(count)
    with context:
        # Processes connect now: Gloo waits 30 s, the first may work alone for longer.
        together.broadcast(b"")
        yield


def _join(cluster: Cluster) -> None:
    if devices.name() != "jax":
        raise InputError(
            "Wanted: JAX for training in several processes. Received: --processes "
            f"{cluster.processes} with {devices.name()}. Add --backend jax, or use "
            "--devices within one process."
        )
    cluster.meet()
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would take SIGTERM for itself, and nobody asks it whether one came.
    jax.config.update("jax_enable_preemption_service", False)
    jax.distributed.initialize(
        cluster.coordinator,
        cluster.processes,
        cluster.process,
        cluster_detection_method="deactivate",
    )


def _chosen(count: str, here: int) -> int:
    chosen = here if count == "all" else int(count) if count.isdecimal() else 0
    if not 1 <= chosen <= here:
        raise InputError(
            f"Wanted: --devices from 1 to {here}, which {devices.name()} sees here, "
            f"or all. Received: {count}. Choose fewer, or run where there are more."
        )
    return chosen


def _data_parallel(count: str) -> contextlib.AbstractContextManager:
    import jax
    import keras

    chosen = _chosen(count, len(jax.local_devices()))
    if chosen * jax.process_count() == 1:
        return contextlib.nullcontext()
    names = [
        f"{device.platform}:{device.id}"
        for index in range(jax.process_count())
        for device in jax.local_devices(index)[:chosen]
    ]
    mesh = keras.distribution.DeviceMesh((len(names),), ("batch",), names)
    # Each process reads its own share already: `data.TrainingBatches`.
    parallel = keras.distribution.DataParallel(
        device_mesh=mesh, auto_shard_dataset=False
    )
    return parallel.scope()


def _mirrored(count: str) -> contextlib.AbstractContextManager:
    if count == "1":  # leave TensorFlow as it is
        return contextlib.nullcontext()
    tf = devices.tensorflow()
    config = tf.config
    those = config.list_logical_devices("GPU") or config.list_logical_devices("CPU")
    chosen = _chosen(count, len(those))
    if chosen == 1:
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy([x.name for x in those[:chosen]]).scope()


def replicas() -> int:
    """Returns the number of devices that share each batch, of all processes."""
    import keras

    if devices.name() == "jax":
        parallel = keras.distribution.distribution()
        return 1 if parallel is None else parallel.num_model_replicas
    return devices.tensorflow().distribute.get_strategy().num_replicas_in_sync


def check_batch(size: int) -> None:
    """Checks that the devices can share a batch evenly.

    Args:
        size: int > 0. Examples in a batch, of all devices together.

    Raises:
        InputError: they cannot.
    """
    count = replicas()
    if size % count:
        more = count * -(-size // count)
        raise InputError(
            f"Wanted: a batch that {count} devices share evenly. Received: "
            f"training.batch_size={size}. Add --set training.batch_size={more}, or "
            "change the number of devices."
        )


@contextlib.contextmanager
def synchronize(layers: Iterable[Any]) -> Iterator[None]:
    """Has batch normalisations use the statistics of the batch of all devices.

    JAX's always do. On TensorFlow each device would use those of its own share.

    Args:
        layers: keras layers of any kind.
    """
    import keras

    norms = []
    if devices.name() == "tensorflow" and replicas() > 1:
        kind = keras.layers.BatchNormalization
        norms = [x for x in layers if isinstance(x, kind) and not x.synchronized]
    for norm in norms:
        norm.synchronized = True
    try:
        yield
    finally:
        for norm in norms:
            norm.synchronized = False  # models are saved for one device


def sum_over_replicas(gradients: list) -> list:
    """Returns the gradients of the whole batch, in a step of one device of several.

    JAX computes them as such, and they are returned as they are. Of rows that were
    looked up in a weight TensorFlow keeps only these: they become whole gradients.

    Args:
        gradients: tensors, or None where a variable has none.
    """
    if devices.name() != "tensorflow":
        return gradients
    tf = devices.tensorflow()
    known = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    if replicas() > 1:
        context = tf.distribute.get_replica_context()
        known = context.all_reduce(tf.distribute.ReduceOp.SUM, known)
    whole = iter(known)
    return [None if g is None else next(whole) for g in gradients]

"""Trains a small network as one process of a job, for tests.

    python distributed_worker.py FOLDER DEVICES [PROCESSES PROCESS COORDINATOR]

writes what it did to FOLDER/PROCESS.json: losses and scores, how many examples each
device had of a batch, the statistics of the batch normalisation and the predictions.
"""

import json
import pathlib
import runpy
import sys

import keras
import numpy as np

from kphotoz import backend
from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop, outputs
from kphotoz.training.settings import Training

TESTS = pathlib.Path(__file__).parents[1]
# Gradients are clipped, weights averaged; 30 examples leave a last batch of 7 or of 6,
# of which one cannot be halved.
SETTINGS = Training(
    epochs=2, batch_size=8, minimum_steps=0, learning_rate=0.05, clip_norm=0.05, ema=0.5
)
COUNTS = (31, 13)


class Watch(keras.layers.Layer):
    """Passes its inputs on, and notes how many examples a device has of them.

    On JAX as it is compiled, with the number of devices; on TensorFlow with the number
    of the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = set()

    def call(self, inputs):
        if keras.backend.backend() == "jax":
            import jax

            def note(sharding):
                shape = sharding.shard_shape(tuple(inputs.shape))
                self.seen.add((shape[0], len(sharding.device_set)))

            jax.debug.inspect_array_sharding(inputs, callback=note)
            return inputs
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is None:  # while the model is built
            return inputs

        def note(x, device):
            self.seen.add((len(x), int(device)))
            return x

        device = context.replica_id_in_sync_group
        inputs = tf.numpy_function(note, [inputs, device], "float32")
        return tf.ensure_shape(inputs, (None, 3))


def network(watch):
    inputs = keras.Input((16, 16, 3))
    x = watch(keras.layers.GlobalAveragePooling2D()(inputs))
    norm = keras.layers.BatchNormalization(momentum=0.5)
    x = keras.layers.Dense(4, "relu", kernel_initializer=start(1))(norm(x))
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start(2))(x))


def start(seed):
    return keras.initializers.HeNormal(seed)


def samples():
    """Returns the training and validation samples."""
    made = runpy.run_path(str(TESTS / "conftest.py"))["made_sample"]
    for seed, count in enumerate(COUNTS):
        random = np.random.default_rng(seed)
        z = random.uniform(0.1, 1.0, count)
        pixels = random.normal(z[:, None, None, None], 0.2, (count, 16, 16, 3))
        yield made(z, pixels, "gri", "image", "noise", "", seed)


def train(watch=False) -> dict:
    """Returns what a training did, on the devices that are chosen."""
    layer = Watch() if watch else keras.layers.Identity()
    model = network(layer)
    train_sample, validation = samples()
    outcome = loop.train(
        model,
        train_sample,
        validation,
        task=RedshiftTask((0.0, 2.0)),
        settings=SETTINGS,
        seed=5,
    )
    norm = next(
        x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)
    )
    return {
        "losses": [row["loss"] for row in outcome.history],
        "scores": [row["score"] for row in outcome.history],
        "predictions": outputs.predict(model, validation).tolist(),
        "moving_mean": norm.moving_mean.numpy().tolist(),
        "moving_variance": norm.moving_variance.numpy().tolist(),
        "synchronized": norm.synchronized,
        "seen": sorted(layer.seen) if watch else [],
    }


def main(folder, devices, processes="1", process="0", coordinator="") -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(processor, two)
    cluster = backend.find_cluster(processes, int(process), coordinator)
    with backend.distribute(devices, cluster):
        found = train(watch=True)
        found["processes"] = backend.process()
        told = backend.broadcast(f"from {process}".encode())
    found["told"] = told.decode()
    (pathlib.Path(folder) / f"{process}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])

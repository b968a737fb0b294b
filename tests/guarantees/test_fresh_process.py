"""Files in a new process, and on the other backend."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kphotoz import adapters

LOAD = """
import sys, numpy as np, keras
{imports}
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])
np.save(sys.argv[3], keras.ops.convert_to_numpy(model(x)))
{more}
"""
STEP = """
start = [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_weights]
model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
model.train_on_batch(x, np.ones((len(x), 2), "float32"))
moved = [keras.ops.convert_to_numpy(v) - s
         for v, s in zip(model.trainable_weights, start)]
np.savez(sys.argv[4], *moved)
"""


def _run(code, backend, *arguments):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture
def adapted(small, images, tmp_path):
    model = adapters.apply(small, 1, alpha=2.0)
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    np.save(tmp_path / "x.npy", images)
    return model


def test_merged_model_loads_without_kphotoz(adapted, images, tmp_path):
    adapters.merge(adapted).save(tmp_path / "m.keras")
    code = LOAD.format(imports="", more="assert 'kphotoz' not in sys.modules")
    paths = [tmp_path / name for name in ("m.keras", "x.npy", "y.npy")]
    _run(code, keras.backend.backend(), *paths)
    np.testing.assert_allclose(np.load(paths[2]), adapted(images), atol=1e-6)


def test_adapted_model_loads_after_importing_the_layers_alone(
    adapted, images, tmp_path
):
    adapted.save(tmp_path / "m.keras")
    code = LOAD.format(
        imports="import kphotoz.layers",
        more="assert not {'kphotoz.adapters', 'keras_hub'} & set(sys.modules)",
    )
    paths = [tmp_path / name for name in ("m.keras", "x.npy", "y.npy")]
    _run(code, keras.backend.backend(), *paths)
    np.testing.assert_allclose(np.load(paths[2]), adapted(images), atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the same two processes either way"
)
def test_both_backends_give_the_same_outputs_and_gradients(adapted, tmp_path):
    for layer in adapted.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    adapted.save(tmp_path / "m.keras")
    code = LOAD.format(imports="import kphotoz.layers", more=STEP)
    for backend in ("tensorflow", "jax"):
        names = ("m.keras", "x.npy", f"{backend}.npy", f"{backend}.npz")
        _run(code, backend, *(tmp_path / name for name in names))
    outputs = [np.load(tmp_path / f"{b}.npy") for b in ("tensorflow", "jax")]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    moves = [np.load(tmp_path / f"{b}.npz") for b in ("tensorflow", "jax")]
    assert len(moves[0].files) == 8
    for name in moves[0].files:
        np.testing.assert_allclose(moves[0][name], moves[1][name], atol=1e-5)

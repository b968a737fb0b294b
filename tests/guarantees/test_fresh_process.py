"""Files in a new process, and on the other backend."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kphotoz import adapters

# One process, since starting one costs seconds: each stage imports more than the last.
STAGES = """
import sys, numpy as np, keras
x = np.load("x.npy")
def run(name):
    model = keras.models.load_model(name + ".keras")
    np.save(name + ".npy", keras.ops.convert_to_numpy(model(x)))
run("merged")
assert "kphotoz" not in sys.modules
import kphotoz.layers
run("swapped")
assert not {"kphotoz.adapters", "keras_hub"} & set(sys.modules)
import kphotoz.adapters
run("called")
"""
STEP = """
import numpy as np, keras, kphotoz.layers
x = np.load(folder + "/x.npy")
model = keras.models.load_model(folder + "/swapped.keras")
def numpy(v):
    return np.array(keras.ops.convert_to_numpy(v))
results = [numpy(model(x))]
start = [numpy(v) for v in model.trainable_weights]
model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
model.train_on_batch(x, np.ones((len(x), 2), "float32"))
results += [s - numpy(v) for v, s in zip(model.trainable_weights, start)]
np.savez(f"{folder}/{keras.backend.backend()}.npz", *results)
"""


def _run(code, backend, folder):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def told(kinds, images, tmp_path_factory):
    """(folder, {file: output in this process}) after a fresh process read the files."""
    folder = tmp_path_factory.mktemp("fresh")
    swapped = adapters.apply(kinds["functional"](), 1, alpha=2.0)
    called = adapters.apply(kinds["attention"](), 1)
    rng = np.random.default_rng(5)
    for weight in swapped.trainable_weights + called.trainable_weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    swapped.get_layer("head_drop").rate = 0.0
    models = {"swapped": swapped, "called": called, "merged": adapters.merge(swapped)}
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    np.save(folder / "x.npy", images)
    _run(STAGES, keras.backend.backend(), folder)
    outputs = {
        name: keras.ops.convert_to_numpy(model(images))
        for name, model in models.items()
    }
    return folder, outputs


def _check(told, name):
    folder, outputs = told
    np.testing.assert_allclose(
        np.load(folder / f"{name}.npy"), outputs[name], atol=1e-6
    )


def test_merged_model_loads_without_kphotoz(told):
    _check(told, "merged")


def test_swapped_layers_load_after_importing_the_layers_alone(told):
    _check(told, "swapped")


def test_adapted_model_of_another_class_loads_without_custom_objects(told):
    _check(told, "called")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the same two runs either way"
)
def test_both_backends_give_the_same_outputs_and_gradients(told):
    folder = str(told[0])
    exec(STEP, {"folder": folder})
    _run(f"folder = {folder!r}\n{STEP}", "jax", folder)
    ours, theirs = (np.load(f"{folder}/{b}.npz") for b in ("tensorflow", "jax"))
    # The output and eight gradients: A and B of four layers.
    assert len(ours.files) == 1 + 8
    for name in ours.files:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)

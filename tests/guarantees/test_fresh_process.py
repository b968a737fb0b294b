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
for name in ("swapped", "every_layer", "dora", "pissa"):
    run(name)
assert not {"kphotoz.adapters", "keras_hub"} & set(sys.modules)
import kphotoz.adapters
run("called")
"""
BACKENDS = ("tensorflow", "jax")
STEP = """
import numpy as np, keras, kphotoz.layers
x = np.load(folder + "/x.npy")
def numpy(v):
    return np.array(keras.ops.convert_to_numpy(v))
for name in ("swapped", "every_layer", "dora", "pissa"):
    model = keras.models.load_model(f"{folder}/{name}.keras")
    results = [numpy(model(x))]
    start = [numpy(v) for v in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(x, np.ones((len(x), 2), "float32"))
    results += [s - numpy(v) for v, s in zip(model.trainable_weights, start)]
    np.savez(f"{folder}/{name}-{keras.backend.backend()}.npz", *results)
"""
# Adapters trained on TensorFlow predict on JAX, from their files and the base.
PREDICT = """
import kphotoz.adapters
base = keras.models.load_model(folder + "/base.keras")
for name in ("every_layer", "dora", "pissa"):
    model = kphotoz.adapters.load(base, f"{folder}/trained-{name}.safetensors")
    np.save(f"{folder}/there-{name}.npy", numpy(model(x, training=False)))
"""


def _every_layer():
    """A graph with a layer of each class that can be exchanged."""
    image = keras.Input((8, 6, 5))
    x = keras.layers.Conv2D(6, 3, strides=2, name="conv2d")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Reshape((6, 6))(x)
    x = keras.layers.Conv1D(6, 3, padding="causal", name="conv1d")(x)
    x = keras.layers.EinsumDense("abc,cd->abd", (6, 6), name="einsum")(x)
    x = keras.layers.Flatten()(keras.layers.Activation("tanh")(x))
    return keras.Model(image, keras.layers.Dense(2, name="dense")(x))


def _adapted(base):
    """Models with the default form, with DoRA and with PiSSA."""
    options = {
        "every_layer": {"formulation": "factored"},
        "dora": {"dora": True, "formulation": "factored"},
        "pissa": {"start": "pissa", "formulation": "kernel"},
    }
    return {
        name: adapters.apply(base, 1, alpha=2.0, allow_full_rank=True, **given)
        for name, given in options.items()
    }


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
    base = _every_layer()
    base.save(folder / "base.keras")
    others = _adapted(base)
    for model in (swapped, called, *others.values()):
        for weight in model.trainable_weights:
            weight.assign(weight + rng.normal(0.0, 0.3, weight.shape))
    swapped.get_layer("head_drop").rate = 0.0
    models = {"swapped": swapped, "called": called, "merged": adapters.merge(swapped)}
    models |= others
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


@pytest.mark.parametrize("name", ["swapped", "every_layer", "dora", "pissa"])
def test_swapped_layers_load_after_importing_the_layers_alone(told, name):
    _check(told, name)


def test_adapted_model_of_another_class_loads_without_custom_objects(told):
    _check(told, "called")


only_once = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the same two runs either way"
)


@pytest.fixture(scope="module")
def both(told, images):
    """(folder, {name: output of an adapter trained here}) after a process on JAX."""
    folder, base = told[0], keras.models.load_model(told[0] / "base.keras")
    targets = np.ones((len(images), 2), "float32")
    here = {"base": keras.ops.convert_to_numpy(base(images, training=False))}
    for name, model in _adapted(base).items():
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
        model.fit(images, targets, epochs=3, verbose=0)
        adapters.save(model, folder / f"trained-{name}.safetensors")
        here[name] = keras.ops.convert_to_numpy(model(images, training=False))
    exec(STEP, {"folder": str(folder)})
    _run(f"folder = {str(folder)!r}\n{STEP}{PREDICT}", "jax", folder)
    return folder, here


@only_once
def test_both_backends_give_the_same_outputs_and_gradients(both):
    # The output, and of each of four layers the gradients of A, B and the magnitude.
    counts = {"swapped": 1 + 8, "every_layer": 1 + 8, "dora": 1 + 12, "pissa": 1 + 8}
    for name, count in counts.items():
        ours, theirs = (np.load(both[0] / f"{name}-{b}.npz") for b in BACKENDS)
        assert len(ours.files) == count
        for key in ours.files:
            atol = 1e-5 * max(1.0, np.abs(ours[key]).max())
            np.testing.assert_allclose(ours[key], theirs[key], atol=atol)


@only_once
def test_an_adapter_trained_on_one_backend_predicts_the_same_on_the_other(both):
    folder, here = both
    for name in ("every_layer", "dora", "pissa"):
        there = np.load(folder / f"there-{name}.npy")
        assert np.abs(here[name] - here["base"]).max() > 0.01
        np.testing.assert_allclose(there, here[name], atol=1e-5)

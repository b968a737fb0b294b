"""Files in a new process, and on the other backend."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kphotoz import adapters, models

# JAX compiles a model as a whole sooner than operation by operation.
OUTPUT = """
import json, sys, numpy as np, keras
jax = keras.backend.backend() == "jax"
def numpy(v):
    return np.array(keras.ops.convert_to_numpy(v))
def output(model, x):
    return model.predict_on_batch(x) if jax else numpy(model(x, training=False))
"""
# One process, since starting one costs seconds: each stage imports more than the last.
STAGES = """
x = np.load("x.npy")
def run(name):
    np.save(name + ".npy", output(keras.models.load_model(name + ".keras"), x))
run("merged")
assert "kphotoz" not in sys.modules
import kphotoz.layers
for name in ("swapped", "every_layer", "dora", "pissa"):
    run(name)
assert not {"kphotoz.adapters", "keras_hub"} & set(sys.modules)
import kphotoz.adapters
run("called")
rule = keras.models.load_model("compiled.keras").optimizer
rate = type(rule.get_config()["learning_rate"]).__name__
told = [type(rule).__name__, rule.ratio, int(rule.iterations), rate]
open("optimizer.json", "w").write(json.dumps(told))
from kphotoz import models
np.save("photoz.npy", output(models.load("photoz.keras"), np.load("photoz_x.npy")))
"""
BACKENDS = ("tensorflow", "jax")
STEP = """
import kphotoz.layers
x = np.load(folder + "/x.npy")
for name in ("swapped", "every_layer", "dora", "pissa"):
    model = keras.models.load_model(f"{folder}/{name}.keras")
    results = [output(model, x)]
    start = [numpy(v) for v in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=jax)
    model.train_on_batch(x, np.ones((len(x), 2), "float32"))
    results += [s - numpy(v) for v, s in zip(model.trainable_weights, start)]
    np.savez(f"{folder}/{name}-{keras.backend.backend()}.npz", *results)
"""
# Adapters trained on TensorFlow predict on JAX, from their files and the base; whole
# models of ours likewise.
PREDICT = """
import kphotoz.adapters
base = keras.models.load_model(folder + "/base.keras")
for name in ("every_layer", "dora", "pissa"):
    model = kphotoz.adapters.load(base, f"{folder}/trained-{name}.safetensors")
    np.save(f"{folder}/there-{name}.npy", output(model, x))
from kphotoz import models
x = np.load(folder + "/photoz_x.npy")
np.save(f"{folder}/there-photoz.npy", output(models.load(folder + "/photoz.keras"), x))
"""
here: dict = {}
exec(OUTPUT, here)


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


def _photoz():
    """A model of ours with weights that differ from their start, and its images."""
    random = np.random.default_rng(0)
    images = random.normal(0.2, 1, (12, 32, 32, 3)).astype("float32")
    settings = {"name": "small_cnn", "filters": [4, 4, 4]}
    redshift = random.uniform(0.1, 1, 12)
    model = models.build_photoz(
        settings, images, redshift, bands="gri", pixel_scale=0.2, seed=1
    )
    weights = [w + random.normal(0, 0.05, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    return model, images


def _run(code, backend, folder):
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", OUTPUT + code],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def told(kinds, images, compile_options, tmp_path_factory):
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
    saved = {"swapped": swapped, "called": called, "merged": adapters.merge(swapped)}
    saved |= others
    outputs = {name: here["output"](model, images) for name, model in saved.items()}
    saved["photoz"], stamps = _photoz()
    outputs["photoz"] = here["output"](saved["photoz"], stamps)
    saved["compiled"] = compiled = adapters.apply(kinds["functional"](), 1)
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
    rule = adapters.lora_plus(keras.optimizers.AdamW(schedule), 7.0)
    compiled.compile(rule, **compile_options)
    compiled.train_on_batch(images, np.ones((4, 2)))
    for name, model in saved.items():
        model.save(folder / f"{name}.keras")
    np.save(folder / "x.npy", images)
    np.save(folder / "photoz_x.npy", stamps)
    _run(STAGES, keras.backend.backend(), folder)
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


def test_optimizer_keeps_ratio_and_state(told):
    found = json.loads((told[0] / "optimizer.json").read_text())
    assert found == ["LoRAPlusAdamW", 7.0, 1, "dict"]


def test_model_of_ours_loads_without_custom_objects(told):
    assert np.ptp(told[1]["photoz"]) > 0.01
    _check(told, "photoz")


only_once = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the same two runs either way"
)


@pytest.fixture(scope="module")
def both(told, images):
    """(folder, {name: output of an adapter trained here}) after a process on JAX."""
    folder, base = told[0], keras.models.load_model(told[0] / "base.keras")
    targets = np.ones((len(images), 2), "float32")
    outputs = {"base": here["output"](base, images)}
    for name, model in _adapted(base).items():
        model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
        model.fit(images, targets, epochs=3, verbose=0)
        adapters.save(model, folder / f"trained-{name}.safetensors")
        outputs[name] = here["output"](model, images)
    exec(STEP, here | {"folder": str(folder)})
    _run(f"folder = {str(folder)!r}\n{STEP}{PREDICT}", "jax", folder)
    return folder, outputs


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
    folder, outputs = both
    for name in ("every_layer", "dora", "pissa"):
        there = np.load(folder / f"there-{name}.npy")
        assert np.abs(outputs[name] - outputs["base"]).max() > 0.01
        np.testing.assert_allclose(there, outputs[name], atol=1e-5)


@only_once
def test_a_model_of_ours_predicts_the_same_on_the_other_backend(both, told):
    there = np.load(both[0] / "there-photoz.npy")
    np.testing.assert_allclose(there, told[1]["photoz"], atol=1e-4)

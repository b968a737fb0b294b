"""PEFT itself as the oracle, where a Python with PyTorch and PEFT is at hand.

It is this one, or the one named by KPHOTOZ_TORCH_PYTHON.
"""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from kphotoz import adapters

PYTHON = os.environ.get("KPHOTOZ_TORCH_PYTHON", sys.executable)
SCRIPT = pathlib.Path(__file__).with_name("peft_twin.py")
NAMES = {"stem": "stem", "body.0": "block", "body.1": "series", "0": "head"}


def peft(action, folder):
    command = [PYTHON, str(SCRIPT), action, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    probe = [PYTHON, "-c", "import torch, peft"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"{PYTHON} has no PyTorch with PEFT; see KPHOTOZ_TORCH_PYTHON")
    made = tmp_path_factory.mktemp("peft")
    peft("make", made)
    return made


@pytest.fixture(scope="module")
def base(folder):
    image = keras.Input((9, 8, 5))
    stem = keras.layers.Conv2D(6, (3, 2), padding="same", name="stem")
    x = keras.ops.tanh(stem(image))
    x = keras.ops.tanh(keras.layers.Conv2D(8, 3, strides=2, name="block")(x))
    x = keras.layers.Reshape((-1, 8))(x)
    x = keras.ops.tanh(keras.layers.Conv1D(9, 2, name="series")(x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(image, keras.layers.Dense(7, name="head")(x))
    theirs = np.load(folder / "base.npz")
    for module, path in NAMES.items():
        weight = np.moveaxis(theirs[f"{module}.weight"], (0, 1), (-1, -2))
        model.get_layer(path).set_weights([weight, theirs[f"{module}.bias"]])
    return model


def call(model):
    images = np.random.default_rng(0).normal(size=(3, 9, 8, 5)).astype("float32")
    return keras.ops.convert_to_numpy(model(images, training=False))


def test_twins_are_equal_before_adapting(folder, base):
    theirs = np.load(folder / "base.npz")["output"]
    np.testing.assert_allclose(call(base), theirs, atol=1e-5)


@pytest.mark.parametrize("start", ["zero", "pissa"])
def test_peft_loads_what_to_peft_wrote_with_equal_outputs(base, tmp_path, start):
    patterns = {"block": 2, "head": 1}
    adapted = adapters.apply(base, 3, 6.0, rank_patterns=patterns, start=start)
    rng = np.random.default_rng(1)
    for variable in adapted.trainable_variables:
        variable.assign_add(rng.normal(0.0, 0.3, variable.shape))
    adapters.to_peft(adapted, tmp_path, NAMES)
    peft("load", tmp_path)
    received = np.load(tmp_path / "output.npy")
    assert np.abs(received - call(base)).max() > 0.1
    np.testing.assert_allclose(received, call(adapted), atol=1e-5)


@pytest.mark.parametrize("scale", ["plain", "stabilised"])
def test_from_peft_and_back_keeps_the_outputs_of_peft(folder, base, tmp_path, scale):
    wanted = np.load(folder / scale / "output.npy")
    assert np.abs(wanted - call(base)).max() > 0.1
    adapted = adapters.from_peft(folder / scale, base, NAMES)
    np.testing.assert_allclose(call(adapted), wanted, atol=1e-5)
    adapters.to_peft(adapted, tmp_path, NAMES)
    peft("load", tmp_path)
    np.testing.assert_allclose(np.load(tmp_path / "output.npy"), wanted, atol=1e-5)

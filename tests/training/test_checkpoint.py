"""Checkpoints that were damaged are told in one line and never half used."""

import json

import keras
import numpy as np
import pytest
import safetensors
from safetensors.numpy import save_file

from kphotoz.errors import InputError
from kphotoz.training import checkpoint, loop
from kphotoz.training.settings import Training

FACTS = {"epoch": 3, "best_epoch": 2, "best_score": 0.5, "history": [{"epoch": 1.0}]}
FACTS |= {"smoothed": None, "waited": 1, "plateau": {"rate": 1e-3}}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture
def folder(model, tmp_path):
    arrays = checkpoint.state(model)
    arrays |= {"best/00000": np.ones((3, 1), "f4"), "best/00001": np.ones(1, "f4")}
    checkpoint.save(tmp_path / "last.safetensors", arrays, FACTS)
    return tmp_path


def _change(folder, arrays=None, **texts):
    path = folder / "last.safetensors"
    with safetensors.safe_open(path, "numpy") as file:
        header = file.metadata() | texts
        held = {name: file.get_tensor(name) for name in file.keys()} | (arrays or {})
    save_file(held, path, header)


def _resume(model, folder):
    return loop._resume(model, folder, Training(schedule="plateau"))


def test_a_whole_checkpoint_is_read_with_its_facts(model, folder):
    found = _resume(model, folder)
    assert (found.epoch, found.waited, found.plateau.rate) == (3, 1, 1e-3)
    np.testing.assert_array_equal(found.best["00000"], np.ones((3, 1)))


@pytest.mark.parametrize(
    "facts",
    [
        *(
            [],
            None,
            FACTS | {"epoch": "x"},
            FACTS | {"more": 1},
            FACTS | {"history": 3},
        ),
        *(FACTS | {"plateau": 3}, FACTS | {"plateau": {"rate": None}}, "x"),
    ],
)
def test_facts_of_another_kind_are_refused(model, folder, facts):
    _change(folder, facts=json.dumps(facts))
    with pytest.raises(InputError, match="Delete it to start anew"):
        _resume(model, folder)


@pytest.mark.parametrize("shapes", ["[]", "3", "[" * 9000, '{"a": [1]}', '{"a": "b"}'])
def test_shapes_of_another_kind_are_refused(model, folder, shapes):
    _change(folder, shapes=shapes)
    with pytest.raises(InputError, match="Delete"):
        _resume(model, folder)


def test_best_weights_of_another_model_are_refused(model, folder):
    before = [np.array(weight) for weight in model.get_weights()]
    with safetensors.safe_open(folder / "last.safetensors", "numpy") as file:
        shapes = json.loads(file.metadata()["shapes"])
    arrays = {"best/00000": np.ones((5, 1), "f4")}
    _change(folder, arrays, shapes=json.dumps(shapes | {"best/00000": [5, 1]}))
    with pytest.raises(InputError, match="not this model's"):
        _resume(model, folder)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

"""Models of run folders: whole, or an adapter and the base it was trained on."""

import json

import keras
import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.files import hash_file
from kphotoz.layers import BandStretch
from kphotoz.prediction import load_run


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((16, 16, 4), name="image")
    x = BandStretch("griz", 0.2, name="stretch")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(5, activation="tanh", name="dense")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="head_redshift")(x))


@pytest.fixture
def base(model, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    model.save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(1, 1, (3, 16, 16, 4)).astype("float32")


def test_folder_and_file_give_the_saved_model(base, model, images):
    wanted = model.predict_on_batch(images)
    for path in (base, base / "model.keras"):
        loaded, identity = load_run(path)
        np.testing.assert_array_equal(loaded.predict_on_batch(images), wanted)
        assert identity == hash_file(base / "model.keras")


def adapted_run(folder, model, base, noted=None):
    from kphotoz import adapters

    adapted = adapters.apply(model, rank=2, targets="dense")
    for weight in adapted.trainable_variables:
        weight.assign(weight + 0.5)
    folder.mkdir()
    adapters.save(adapted, folder / "adapter.safetensors")
    link = {"base": str(base), "sha256": hash_file(base / "model.keras")}
    (folder / "run.json").write_text(json.dumps(link | (noted or {})))
    return adapted


def test_adapter_is_put_on_the_base_that_its_run_names(base, model, images, tmp_path):
    adapted = adapted_run(tmp_path / "run", model, base)
    wanted = adapted.predict_on_batch(images)
    for path in (tmp_path / "run", tmp_path / "run" / "adapter.safetensors"):
        loaded, _ = load_run(path)
        np.testing.assert_allclose(
            loaded.predict_on_batch(images), wanted, rtol=1e-6, atol=1e-7
        )
    assert np.abs(wanted - model.predict_on_batch(images)).max() > 0.01


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"sha256": "0" * 64}, "another model"),
        ({"base": "nowhere"}, "does not exist"),
        ({"base": 3}, "does not exist"),
        ({"base": "."}, "the run itself"),
        ({"base": "adapter.safetensors"}, "the run itself"),
        ({"base": "x" * 5000}, "does not exist"),
        ({"base": "a\0b"}, "does not exist"),
        ({"base": "/dev/zero"}, "Wanted: a .keras file"),
    ],
)
def test_adapter_with_a_wrong_base_is_refused(base, model, tmp_path, noted, told):
    adapted_run(tmp_path / "run", model, base, noted)
    with pytest.raises(InputError, match=told):
        load_run(tmp_path / "run")


def test_adapters_that_name_each_other_are_refused(base, model, tmp_path):
    for name, other in (
        ("a", "../b"),
        ("b", "../c/adapter.safetensors"),
        ("c", "../a"),
    ):
        adapted_run(tmp_path / name, model, base, {"base": other})
    for name in "abc":
        with pytest.raises(InputError, match="leads back to the run itself") as error:
            load_run(tmp_path / name)
        assert "\n" not in str(error.value)


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"no model")
    (tmp_path / "a.safetensors").write_bytes(b"no adapter")
    for path in (tmp_path, tmp_path / "none", tmp_path / "a.safetensors"):
        with pytest.raises(InputError, match="Wanted") as error:
            load_run(path)
        assert "\n" not in str(error.value)

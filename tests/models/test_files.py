"""Loading models: one line for what is no model."""

import zipfile

import h5py
import keras
import pytest

from kphotoz import models
from kphotoz.errors import InputError


def _model(survey):
    settings = {"name": "small_cnn", "crop": 12, "filters": [4], "radii": [2.0, 4.0]}
    return models.build_photoz(
        settings, *survey, bands="griz", pixel_scale=None, seed=0
    )


def _one_line(path):
    with pytest.raises(InputError) as caught:
        models.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_garbage_and_truncated_files_are_refused_in_one_line(survey, tmp_path):
    assert "no such file" in _one_line(tmp_path / "none.keras")
    assert "a folder" in _one_line(tmp_path)
    garbage = tmp_path / "garbage.keras"
    garbage.write_bytes(b"not a model at all")
    assert "garbage.keras" in _one_line(garbage)
    _model(survey).save(tmp_path / "whole.keras")
    whole = (tmp_path / "whole.keras").read_bytes()
    for share in (0.3, 0.9):
        cut = tmp_path / "cut.keras"
        cut.write_bytes(whole[: int(share * len(whole))])
        assert "cut.keras" in _one_line(cut)


def test_code_inside_a_model_is_refused(tmp_path):
    layers = [keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2.0)]
    keras.Sequential(layers).save(tmp_path / "code.keras")
    assert "cannot be read" in _one_line(tmp_path / "code.keras")


@pytest.fixture
def file(tmp_path):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(4)(x)).save(tmp_path / "m.keras")
    assert models.load(tmp_path / "m.keras").count_params() == 57 + 4 * 109
    return tmp_path / "m.keras"


def _rewrite(path, change=None, **members):
    """Writes the zip file again: config.json edited, members replaced or added."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    if change:
        content["config.json"] = change(content["config.json"].decode())
    method = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method) as new:
        for name, inside in (content | members).items():
            new.writestr(name, inside)


def test_a_model_that_was_packed_again_is_read(file):
    _rewrite(file)
    assert models.load(file).count_params() == 57 + 4 * 109


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"units": 4', '"units": 4000000000', "more than the file holds"),
        ('"filters": 3', '"filters": 100000', "more than the file holds"),
        ('"units": 4', '"units": "4"', "cannot be read"),
        ('"class_name": "Dense"', '"class_name": "Popen"', "cannot be read"),
        ('"class_name": "Dense"', '"class_name": "Lambda"', "cannot be read"),
        ('"module": "keras.layers"', '"module": "subprocess"', "cannot be read"),
        ('"module": "keras.layers"', '"module": "keras.src.utils"', "cannot be read"),
        ('"config"', '"config": ' + "[" * 100_000, "cannot be read"),
    ],
)
def test_a_hostile_configuration_is_refused(file, old, new, told):
    _rewrite(file, lambda text: text.replace(old, new))
    assert told in _one_line(file)


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/tmp/kphotoz_evil.txt", "assets/../../evil.txt", "a.npz"]
)
def test_members_outside_of_the_format_are_refused(file, name):
    _rewrite(file, **{name: b"x"})
    assert "in its zip file" in _one_line(file)
    assert not (file.parent.parent / "evil.txt").exists()


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "metadata.json"])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(file, name):
    _rewrite(file, **{name: bytes(30_000_000)})
    assert f"{name} unpacks to 30000000 bytes" in _one_line(file)


def test_weights_that_declare_more_than_they_hold_are_refused(file):
    inside = file.with_name("w.h5")
    with h5py.File(inside, "w") as weights:
        weights.create_dataset("a", (10**9,), "f4", chunks=(10,), compression="gzip")
    _rewrite(file, **{"model.weights.h5": inside.read_bytes()})
    assert "/a declares 4000000000 bytes, holds 0" in _one_line(file)


def test_layers_are_made_as_ever_after_a_refusal(file):
    plain = keras.layers.Layer.add_weight
    _rewrite(file, lambda text: text.replace('"units": 4', '"units": 4000000000'))
    _one_line(file)
    assert keras.layers.Layer.add_weight is plain

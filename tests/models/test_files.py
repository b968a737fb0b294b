"""Loading models: one line for what is no model."""

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

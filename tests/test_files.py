import json

import numpy as np
import pytest

from kphotoz.errors import InputError, unknown
from kphotoz.files import atomic, hash_arrays, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_has_null_where_a_number_is_not_finite(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": np.float64("nan"), "b": [np.int64(2), np.array([np.inf])]})
    assert json.loads(path.read_text()) == {"a": None, "b": [2, [None]]}


def test_hashes_tell_shape_and_dtype_apart():
    arrays = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3), "float32")]
    assert len({hash_arrays(array) for array in arrays}) == 3


def test_unknown_names_get_their_nearest():
    assert "Did you mean lora?" in str(unknown("regime", "lorra", ["lora", "full"]))


def test_a_full_or_missing_place_is_an_input_error():
    with pytest.raises(InputError, match="a place to write"), atomic("/proc/x/y.txt"):
        pass

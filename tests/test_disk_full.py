"""No room: each writer tells it in one line and leaves nothing behind.

A limit on the size of files stands in for a full disk: writing fails midway with an
error of the operating system, as it does there.
"""

import contextlib
import resource

import keras
import numpy as np
import pytest

from kphotoz import adapters, data, files
from kphotoz.errors import InputError
from kphotoz.prediction.writers import open_writer
from kphotoz.training import checkpoint, run_folder
from kphotoz.training.run_folder import RunFolder, write_parquet

ROWS = 20_000
NOISE = np.random.default_rng(0).normal(size=ROWS)


@contextlib.contextmanager
def little_room(size=4096):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((100,))
    wide = keras.layers.Dense(100, name="wide")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(wide))


@pytest.fixture(scope="module")
def adapted(model):
    return adapters.apply(model, rank=40, targets="wide")


def write_table(path):
    with files.atomic(path) as aside:
        kinds = {"z_pred": "float64"}
        with contextlib.closing(open_writer(aside, kinds, ROWS, {})) as writer:
            writer.write({"z_pred": NOISE})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", lambda path, *_: files.write_json(path, NOISE)),
        ("a.txt", lambda path, *_: files.write_text(path, "x" * ROWS)),
        ("b.parquet", lambda path, *_: write_parquet(path, {"x": NOISE})),
        ("c.safetensors", lambda path, *_: checkpoint.save(path, {"x": NOISE}, {})),
        ("model.keras", lambda path, m, _: RunFolder(path.parent).save_model(m)),
        ("e.safetensors", lambda path, _, a: adapters.save(a, path)),
        ("f.parquet", lambda path, *_: write_table(path)),
        ("f.csv", lambda path, *_: write_table(path)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    name, write, model, adapted, tmp_path
):
    path = tmp_path / name
    with little_room(), pytest.raises(InputError, match="a place to write") as caught:
        write(path, model, adapted)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    write(path, model, adapted)
    assert path.stat().st_size > 4096


def test_a_model_whose_second_copy_finds_no_room_leaves_nothing(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    with little_room(), pytest.raises(OSError, match="too large"):
        run_folder._strip_dates(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_survey_that_finds_no_room_is_told_and_built_later(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    survey = {"name": "mock_hsc/spectroscopic_catalog", "count": 200}
    with little_room(), pytest.raises(InputError, match="room for a data set") as told:
        data.open_survey(**survey)
    assert "too large" in str(told.value) and "\n" not in str(told.value)
    assert not list(tmp_path.rglob("*.tfrecord*"))
    assert sum(map(len, data.open_survey(**survey).values())) == 200

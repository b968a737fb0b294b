"""Beam writes what `predict` writes, on workers of its own."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from pyarrow import parquet

from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.prediction import load_run, predict
from kphotoz.prediction.beam import predict_on_beam

# A process of its own, as for users: Beam's threads do not share one with what other
# tests have loaded and started.
PROGRAM = """
import json, sys
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.prediction.beam import predict_on_beam

mode, run, out, *files = sys.argv[1:]
sources = [FileSpec.create(file=file, bands=tuple("griz")) for file in files]
options = ["--runner=DirectRunner", "--direct_num_workers=2"]
options += [f"--direct_running_mode={mode}"]
summary = predict_on_beam(run, sources, out, options=options, batch_size=2)
print(json.dumps([summary.rows, summary.flagged, summary.engine]))
"""


@pytest.fixture
def run(tmp_path):
    """A run whose normalisation is folded."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((16, 16, 4))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(x))
    folder = tmp_path / "run"
    folder.mkdir()
    model.save(folder / "model.keras")
    return folder


@pytest.fixture
def sources(make_file):
    """Two files of 40 and 30 rows: at 2 a batch four pieces, one row unusable."""
    rng = np.random.default_rng(7)
    found = []
    for kind, rows in (("hdf5", 40), ("npz", 30)):
        pixels = rng.normal(1, 1, (rows, 4, 16, 16)).astype("float32")
        pixels[5] = 0
        columns = {"redshift": rng.uniform(0, 1, rows), "id": np.arange(rows)}
        path = make_file(kind, pixels, **columns)
        found.append(FileSpec.create(file=path, bands=tuple("griz")))
    return found


def by_row(path):
    table = parquet.read_table(path)
    return table.sort_by([("input", "ascending"), ("row", "ascending")])


@pytest.mark.parametrize(
    "mode",
    [pytest.param("multi_processing", marks=pytest.mark.large), "multi_threading"],
)
def test_two_workers_write_what_predict_writes(run, sources, tmp_path, mode):
    model, _ = load_run(run)
    whole = predict(model, sources, tmp_path / "p.parquet", batch_size=2)
    out = tmp_path / "many"
    files = [source.file for source in sources]
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, mode, run, out, *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [70, {"all_zero_image": 2}, whole.engine]
    found, wanted = by_row(out), by_row(tmp_path / "p.parquet")
    assert found.schema.equals(wanted.schema)
    for name in wanted.column_names:  # NaN is what both say of unusable rows
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert np.ptp(found["z_pred"].to_numpy()[:5]) > 1e-3
    with pytest.raises(InputError, match="without predictions"):
        predict_on_beam(run, sources, out)


def test_inputs_that_do_not_fit_are_refused_before_any_work(run, make_file, tmp_path):
    path = make_file(
        "npz", np.ones((3, 4, 24, 24)), redshift=np.ones(3), id=np.arange(3)
    )
    spec = FileSpec.create(file=path, bands=tuple("griz"))
    with pytest.raises(InputError, match=r"\(16, 16, 4\)"):
        predict_on_beam(run, [spec], tmp_path / "many")
    assert not (tmp_path / "many").exists()


def test_no_input_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="an input to predict. Received: none"):
        predict_on_beam(run, [], tmp_path / "many")
    assert not (tmp_path / "many").exists()


def test_a_file_that_is_damaged_within_is_told_once_in_one_line(
    run, make_file, tmp_path, caplog
):
    pixels = np.random.default_rng(8).normal(1, 1, (400, 4, 16, 16)).astype("f4")
    path = make_file("npz", pixels, redshift=np.ones(400), id=np.arange(400))
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 200] = b"\xff" * 200  # behind what opening reads
    path.write_bytes(content)
    spec = FileSpec.create(file=path, bands=tuple("griz"))
    with pytest.raises(InputError, match="cutouts.npz, which cannot be read") as caught:
        predict_on_beam(run, [spec], tmp_path / "many")
    assert "\n" not in str(caught.value) and "Wanted" not in caplog.text

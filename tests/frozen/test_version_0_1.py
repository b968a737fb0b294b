"""What version 0.1 wrote is read, and predicts what it predicted then."""

import csv
import json
import pathlib

import keras
import numpy as np
import pytest

from kphotoz import adapters

FOLDER = pathlib.Path(__file__).parent / "version_0_1"
READING = {
    "catalog": [
        *("--magnitudes=g,r,i,z", "--magnitude-errors=g_err,r_err,i_err,z_err"),
        *("--bands=g,r,i,z", "--key=redshift=redshift", "--key=id=id"),
    ],
    "images": [
        *("--bands=g,r,i", "--pixel-scale=0.2", "--key=image=stamps", "--key=id=name"),
        "--key=redshift=zspec",
    ],
}
INPUTS = {"catalog": FOLDER / "catalog.csv", "images": FOLDER / "images.npz"}
# Of another processor or backend.
CLOSE = {"rtol": 2e-5, "atol": 2e-6}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_predictions(path, run):
    wanted, got = rows(FOLDER / run / "predicted.csv"), rows(path)
    for column in ("id", "row", "flag", "redshift"):
        assert [x[column] for x in got] == [x[column] for x in wanted]
    pair = [[float(x["z_pred"]) for x in table] for table in (got, wanted)]
    assert len(set(pair[1])) > 5
    np.testing.assert_allclose(*pair, **CLOSE)


@pytest.mark.parametrize("run", ["base", "lora"])
@pytest.mark.parametrize("kind", ["catalog", "images"])
def test_runs_predict_what_they_did(kphotoz, kind, run, tmp_path):
    folder, out = FOLDER / f"{kind}_{run}", tmp_path / "predicted.csv"
    kphotoz("predict", folder, INPUTS[kind], "--out", out, *READING[kind])
    assert_same_predictions(out, folder.name)


def test_adapter_of_a_run_merges_into_what_it_predicted(kphotoz, tmp_path):
    merged, out = tmp_path / "merged.keras", tmp_path / "predicted.csv"
    adapter, base = FOLDER / "catalog_lora/adapter.safetensors", FOLDER / "catalog_base"
    kphotoz("adapter", "merge", adapter, "--base", base, "--out", merged)
    reading = READING["catalog"]
    kphotoz("predict", merged, INPUTS["catalog"], "--out", out, *reading)
    assert_same_predictions(out, "catalog_lora")


def test_predictions_are_evaluated_to_the_same_numbers(kphotoz):
    path = FOLDER / "catalog_lora" / "predicted.csv"
    found = json.loads(kphotoz("evaluate", path, "--json"))["rows"]
    wanted = json.loads((FOLDER / "evaluated.json").read_text())["rows"]
    assert wanted
    for old, new in zip(wanted, found, strict=True):
        for name in ("stratum", "metric", "n", "definition"):
            assert new[name] == old[name]
        for name in ("value", "error"):
            np.testing.assert_allclose(new[name], old[name], rtol=1e-9)


@pytest.mark.parametrize("name", ["attention", "graph", "seq"])
def test_adapters_give_the_outputs_that_they_gave(name):
    folder = FOLDER / "adapters"
    x = np.random.default_rng(0).normal(size=(4, 6, 8)).astype("float32")
    wanted = np.load(folder / f"{name}.npy")
    base = keras.models.load_model(folder / f"{name}-base.keras", compile=False)
    plain = keras.ops.convert_to_numpy(base(x))
    assert np.abs(plain - wanted).max() > 1e-4
    reloaded = keras.models.load_model(folder / f"{name}.keras", compile=False)
    loaded = adapters.load(base, folder / f"{name}.safetensors")
    for model in (reloaded, loaded, adapters.merge(reloaded), adapters.merge(loaded)):
        outputs = keras.ops.convert_to_numpy(model(x, training=False))
        np.testing.assert_allclose(outputs, wanted, **CLOSE)

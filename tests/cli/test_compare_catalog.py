"""Catalogues from table to report: folds, sweeps, two labels of the same objects."""

import json
import zipfile

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest

COUNT = 120
TINY = [
    *("--set=model.photometry_units=[8]", "--set=model.head_units=[4]"),
    *("--set=model.quantile_bins=4", "--set=training.epochs=2"),
    *("--set=training.minimum_steps=0", "--set=evaluation.draws=100"),
]


@pytest.fixture(scope="module", autouse=True)
def data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture(scope="module")
def table(catalogs, tmp_path_factory):
    """A table whose objects have a noisy redshift, and every other one an exact one."""
    columns = catalogs.columns(COUNT)
    columns["zphot"] = columns["zspec"] + 0.05
    columns["zspec"] = np.where(np.arange(COUNT) % 2, columns["zspec"], np.nan)
    return catalogs.write(tmp_path_factory.mktemp("table") / "mine.csv", columns)


def options(redshift, name):
    return [
        *("--magnitudes=mag_g,mag_r,mag_i", "--magnitude-errors=err_g,err_r,err_i"),
        *("--bands=g,r,i", "--photometry=unknown", "--key=id=objid"),
        *(f"--key=redshift={redshift}", f"--name={name}", "--skip-bad"),
    ]


def imported(kphotoz, table, redshift, name):
    found = kphotoz("data", "import", table, *options(redshift, name), "--json")
    return json.loads(found)["survey"]


@pytest.mark.large
def test_two_labels_of_the_same_objects_are_compared_in_folds(kphotoz, table, tmp_path):
    source = imported(kphotoz, table, "zphot", "photo")
    target = imported(kphotoz, table, "zspec", "spec")
    out = tmp_path / "run"
    found = json.loads(
        kphotoz(
            *("compare", "tabular_transfer", "--source", source, "--data", target),
            *("--folds=2", "--seeds=1", "--regimes=zero_shot,lora"),
            *("--sweep=lora.rank=1", "--sweep=lora.learning_rate=0.01"),
            *(*TINY, "--set=evaluation.by.magnitude=null", "--json", "--out", out),
        )
    )
    names = ["zero_shot", "lora[rank=1,learning_rate=0.01]"]
    assert sorted(found["regimes"]) == sorted(names)
    # Every object is tested once: 60 with an exact redshift, 120 with a noisy one.
    sizes = {(r["sample"], r["n"]) for r in found["rows"] if r["metric"] == "nmad"}
    assert {("source", COUNT), ("target", COUNT // 2)} <= sizes
    assert any("2 folds" in note for note in found["notes"])
    assert sum("magnitude" in row["stratum"] for row in found["strata"]) > 0
    predictions = pq.read_table(out / "predictions.parquet").to_pydict()
    assert {"g-r", "r-i"} <= set(predictions)
    columns = np.genfromtxt(table, delimiter=",", names=True, dtype=None)
    colour = dict(zip(columns["objid"].astype(str), columns["mag_g"] - columns["mag_r"],
                      strict=True))  # fmt: skip
    for name, value in list(zip(predictions["id"], predictions["g-r"], strict=True)):
        assert value == pytest.approx(colour[name], abs=1e-5)
    # No fold's base has seen what the fold tests.
    tested = [
        set(pq.read_table(path / "predictions.parquet")["id"].to_pylist())
        for path in sorted((out / "jobs").glob("zero_shot*"))
    ]
    assert len(tested) == 2 and not tested[0] & tested[1]


def test_a_table_is_fitted_and_predicted(kphotoz, table, tmp_path):
    run, out = tmp_path / "run", tmp_path / "p.csv"
    arguments = [f"--data={table}", *options("zphot", "whole"), *TINY]
    printed = kphotoz("fit", *arguments, "--out", run)
    assert "nmad" in printed
    reading = [option for option in options("zphot", "x") if "name" not in option]
    reading = [o for o in reading if o not in ("--skip-bad", "--photometry=unknown")]
    kphotoz("predict", run, table, *reading, "--out", out)
    rows = out.read_text().splitlines()
    assert len(rows) == COUNT + 1


def test_objects_left_out_of_the_source_are_counted(kphotoz, table, tmp_path):
    source = imported(kphotoz, table, "zphot", "photo")
    target = imported(kphotoz, table, "zspec", "spec")
    found = json.loads(
        kphotoz(
            *("compare", "--source", source, "--data", target, "--seeds=1"),
            *("--set=duplicates.match=id", "--regimes=zero_shot", *TINY, "--json"),
            *("--out", tmp_path / "run"),
        )
    )
    assert any(note.startswith(f"{COUNT // 2} objects") for note in found["notes"])


@pytest.fixture
def precision(monkeypatch):
    """Undoes what `--precision` sets for the rest of a process."""
    monkeypatch.setenv("KPHOTOZ_PRECISION", "float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.large
@pytest.mark.usefixtures("undrawn", "precision")
def test_reversed_comparison_starts_from_the_exact_labels(kphotoz, table, tmp_path):
    source = imported(kphotoz, table, "zphot", "photo")
    target = imported(kphotoz, table, "zspec", "spec")
    found = json.loads(
        kphotoz(
            *("compare", "--source", source, "--data", target, "--reverse"),
            *("--seeds=1", "--regimes=zero_shot", *TINY, "--json"),
            *("--out", tmp_path / "run", "--precision=mixed_bfloat16"),
        )
    )
    assert found["title"].endswith("reversed")
    assert found["recipe"]["source"]["survey"] == target
    assert found["recipe"]["deployment"]["sample"] == "source"
    with zipfile.ZipFile(tmp_path / "run/jobs/base-f0-s0/model.keras") as file:
        assert b"mixed_bfloat16" in file.read("config.json")

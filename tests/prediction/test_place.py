"""Predictions never replace what they are made from, nor a run's own."""

import shutil

import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.prediction import predict
from kphotoz.prediction.beam import predict_on_beam


class Mean:
    """A model in numpy: the mean of an input."""

    def __init__(self):
        self.layers = [self]

    def check(self, bands, pixel_scale, zero_point):
        """Takes any bands."""

    def predict_on_batch(self, inputs):
        return np.nan_to_num(inputs).reshape(len(inputs), -1).mean(1, keepdims=True)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refused(source, out, folder, words):
    before = contents(folder)
    with pytest.raises(InputError, match=words):
        predict(Mean(), [source], out, model_hash="mean")
    assert contents(folder) == before


@pytest.mark.parametrize("suffix", ["fits", "csv", "parquet"])
@pytest.mark.parametrize("name", ["cat", "there/../cat", "link"])
def test_a_table_is_not_replaced_by_its_predictions(catalogs, tmp_path, suffix, name):
    path = catalogs.write(tmp_path / f"cat.{suffix}", catalogs.columns(4))
    (tmp_path / "there").mkdir()
    (tmp_path / f"link.{suffix}").symlink_to(path)
    spec = CatalogSpec.create(file=path, **catalogs.fields())
    refused(spec, tmp_path / f"{name}.{suffix}", tmp_path, "outside of the input")


@pytest.mark.parametrize("name", ["p.csv", "deep/p.fits"])
def test_nothing_is_written_into_a_folder_that_is_read(make_file, tmp_path, name):
    folder = make_file("fits", folder="cutouts")
    spec = FileSpec.create(file=folder, bands=tuple("griz"))
    refused(spec, folder / name, tmp_path, "outside of the input")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="outside of the input"):
        predict_on_beam("no run", [spec], folder / "beam")
    assert contents(tmp_path) == before


def test_the_table_of_a_folder_is_not_replaced_wherever_it_lies(make_file, tmp_path):
    folder = make_file("fits", folder="cutouts")
    table = next(p for p in folder.iterdir() if p.suffix == ".csv")
    shutil.move(table, tmp_path / "table.csv")
    said = {"table": "../../table.csv", "bands": tuple("griz")}
    spec = FileSpec.create(file=folder, **said)
    refused(spec, tmp_path / "table.csv", tmp_path, "outside of the input")


@pytest.mark.parametrize("mark", ["metrics.json", "comparison.json"])
def test_a_runs_own_predictions_stay(make_file, tmp_path, monkeypatch, mark):
    spec = FileSpec.create(file=make_file("npz"), bands=tuple("griz"))
    run = tmp_path / "run"
    run.mkdir()
    (run / mark).write_text("{}")
    (run / "predictions.parquet").write_text("of the test sample")
    monkeypatch.chdir(run)
    refused(spec, "predictions.parquet", tmp_path, "no run wrote")
    predict(Mean(), [spec], "other.parquet", model_hash="mean")


def test_an_older_table_is_replaced(make_file, tmp_path):
    spec = FileSpec.create(file=make_file("npz"), bands=tuple("griz"))
    (tmp_path / "p.csv").write_text("old")
    predict(Mean(), [spec], tmp_path / "p.csv", model_hash="mean")
    assert (tmp_path / "p.csv").read_text().startswith("id,")

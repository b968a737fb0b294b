"""Prediction from tables: each row once, the same bits from every format."""

import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.prediction import predict


class Fluxes:
    """A model in numpy: the mean flux of what is seen, in float32."""

    input_shape = (None, 3, 2)

    def __init__(self, bands="gri"):
        self.bands, self.layers, self.shapes = tuple(bands), [self], set()

    def check(self, bands, pixel_scale, zero_point):
        if tuple(bands) != self.bands:
            raise InputError(f"Wanted: {self.bands}. Received: {tuple(bands)}.")

    def predict_on_batch(self, photometry):
        self.shapes.add(photometry.shape)
        return np.nan_to_num(photometry[..., 0]).mean(axis=1, keepdims=True)


@pytest.fixture
def predicted(catalogs, tmp_path):
    """Returns a function that predicts a table and returns summary and result."""
    from pyarrow import parquet

    def run(table, suffix="csv", model=None, **said):
        path = catalogs.write(tmp_path / f"table.{suffix}", table)
        spec = CatalogSpec.create(file=path, **catalogs.fields(**said))
        options = {"model_hash": "fluxes", "batch_size": 4}
        out = tmp_path / "p.parquet"
        summary = predict(model or Fluxes(), [spec], out, **options)
        return summary, parquet.read_table(out).to_pydict()

    return run


def test_formats_of_tables_give_the_same_bits_in_batches_of_one_shape(
    predicted, catalogs
):
    table, model = catalogs.columns(10), Fluxes()
    found = [
        predicted(table, suffix, model)[1]
        for suffix in ("csv", "tsv", "ecsv", "fits", "parquet")
    ]
    assert all(other == found[0] for other in found[1:])
    assert model.shapes == {(4, 3, 2)}
    magnitudes = np.stack([table[f"mag_{band}"] for band in "gri"], axis=1)
    wanted = (10 ** (0.4 * (23.9 - magnitudes))).mean(axis=1)
    np.testing.assert_allclose(found[0]["z_pred"], wanted, rtol=1e-6)
    assert found[0]["id"] == [str(name) for name in table["objid"]]
    np.testing.assert_array_equal(found[0]["redshift"], table["zspec"])


def test_every_row_has_a_row_and_every_missing_value_a_flag(predicted, catalogs):
    table = catalogs.columns(10)
    for band in "gri":
        table[f"mag_{band}"][[2, 9]] = -99.0
    table["err_r"][5], table["mag_g"][7] = -0.1, 99.0
    for band in "gri":
        table[f"mag_{band}"][0] = 99.0
    summary, found = predicted(table)
    assert summary.rows == len(found["id"]) == 10
    flagged = {"no_detection": 1, "no_photometry": 2, "not_positive_error": 1}
    assert summary.flagged == flagged
    assert np.flatnonzero(np.isnan(found["z_pred"])).tolist() == [0, 2, 5, 9]
    assert [row for row, flag in enumerate(found["flag"]) if flag] == [0, 2, 5, 9]


def test_tables_without_labels_are_predicted(predicted, catalogs):
    table = {k: v for k, v in catalogs.columns().items() if k[:3] in ("mag", "err")}
    _, found = predicted(table, keys=None)
    assert list(found) == ["id", "row", "z_pred", "flag"]
    assert found["id"] == [str(row) for row in range(8)]


def test_labels_that_cannot_be_read_are_left_out_unless_mapped(
    predicted, catalogs, capsys
):
    table = catalogs.columns()
    del table["zspec"], table["objid"]
    bad = {
        "ra": np.array(["12:30:49.4"] * 8),
        "redshift": np.full(8, 21.5),
        "redshift_err": np.full(8, 0.1),
        "redshift_error": np.full(8, 0.1),
        "group": np.arange(8) + 0.5,
        "id": np.full(8, 2.0**53),
    }
    good = {"magnitude": np.array([*"1234567", "N/A"], object), "z_true": np.ones(8)}
    _, found = predicted(table | bad | good, "parquet", keys={})
    assert list(found) == ["id", "row", "z_pred", "flag", "z_true", "magnitude"]
    assert found["id"] == [str(row) for row in range(8)]
    assert found["magnitude"][:7] == [1, 2, 3, 4, 5, 6, 7]
    told = capsys.readouterr().err.splitlines()
    roles = [line.split(":")[0] for line in told if line.startswith("Without")]
    bad.pop("redshift_err")
    assert sorted(roles) == sorted(f"Without {role}" for role in bad)
    del bad["redshift_error"]  # by itself it can be read
    for role, column in bad.items():
        with pytest.raises(InputError, match=f"Wanted: .*{role}"):
            predicted(table | {"mine": column}, "parquet", keys={role: "mine"})


def test_whole_floats_are_ids_and_groups(predicted, catalogs):
    table = catalogs.columns() | {"group": np.array([1.0, 2, np.nan, 4, 5, 6, 7, 8])}
    table["objid"] = 2.0**53 - 1 - np.arange(8)
    _, found = predicted(table, "fits")
    assert found["id"][:2] == ["9007199254740991", "9007199254740990"]
    assert found["group"][:4] == ["1", "2", "", "4"]
    table["objid"] = (2.0**24 + np.arange(8)).astype(np.float32)  # rounded already
    with pytest.raises(InputError, match="from 16777216 up, which cannot hold long"):
        predicted(table, "fits")


def test_what_the_model_was_not_trained_on_is_refused(predicted, catalogs):
    with pytest.raises(InputError, match="'r', 'g', 'i'.*'g', 'r', 'i'"):
        predicted(catalogs.columns(), model=Fluxes("rgi"))
    images = Fluxes()
    images.input_shape = (None, 16, 16, 3)
    with pytest.raises(InputError, match="Wanted: images.*Received: photometry"):
        predicted(catalogs.columns(), model=images)
    four = Fluxes()
    four.input_shape = (None, 4, 2)
    with pytest.raises(InputError, match=r"\(4, 2\).*\(3, 2\).*Check --bands"):
        predicted(catalogs.columns(), model=four)


def test_images_are_refused_by_a_model_of_photometry(make_file, tmp_path):
    from kphotoz.files_in.file_spec import FileSpec

    spec = FileSpec.create(file=make_file("npz"), bands=tuple("griz"))
    with pytest.raises(InputError, match="Wanted: photometry.*Received: images"):
        predict(Fluxes(), [spec], tmp_path / "p.csv", model_hash="fluxes")


def test_survey_of_a_catalogue_is_predicted_as_its_table(
    predicted, catalogs, tmp_path, monkeypatch
):
    from pyarrow import parquet

    from kphotoz import files_in

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    table = catalogs.columns(30)
    _, wanted = predicted(table)
    spec = CatalogSpec.create(file=tmp_path / "table.csv", **catalogs.fields())
    out = tmp_path / "survey.parquet"
    predict(Fluxes(), [files_in.import_file(spec)], out, model_hash="a", batch_size=4)
    found = parquet.read_table(out).to_pydict()
    assert "ra" not in found and found["flag"] == [""] * 30
    assert dict(zip(found["id"], found["z_pred"], strict=True)) == dict(
        zip(wanted["id"], wanted["z_pred"], strict=True)
    )

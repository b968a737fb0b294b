"""Tables become surveys: in µJy, every object once, split alike in every catalogue."""

import numpy as np
import pytest

from kphotoz import data, files_in
from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec


@pytest.fixture(autouse=True)
def _folder(survey_folder):
    """All imports of this module go to the tests' own folder."""


@pytest.fixture
def described(catalogs, tmp_path):
    """Returns a function that writes a table and returns its spec."""

    def describe(name, table, **said):
        path = catalogs.write(tmp_path / f"{name}.csv", table)
        return CatalogSpec.create(file=path, **catalogs.fields(**said))

    return describe


def splits_of(samples):
    """Returns the split of each id."""
    return {
        name: split
        for split, sample in samples.items()
        for name in sample.table["id"].tolist()
    }


def test_imported_catalogue_holds_every_row_once_in_microjansky(described, catalogs):
    table = catalogs.columns(30)
    table["ra"], table["dec"] = np.linspace(10, 11, 30), np.full(30, -4.123456789)
    samples = files_in.open_file(described("whole", table))
    info = samples["train"].info
    assert info.name.startswith("catalog/whole-")
    assert (info.kind, info.unit, info.input_shape) == ("catalog", "uJy", (3, 2))
    assert info.metadata["given_values"] == "magnitudes"
    rows = {str(name): row for row, name in enumerate(table["objid"])}
    seen = []
    for sample in samples.values():
        found = sample.table
        for name, inputs, *values in zip(
            found["id"], sample.inputs(), found["redshift"], found["magnitude"],
            found["ra"], found["dec"], strict=True,
        ):  # fmt: skip
            row = rows[name]
            seen.append(row)
            for band, flux in zip("gri", inputs[:, 0], strict=True):
                wanted = table[f"mag_{band}"][row]
                assert 23.9 - 2.5 * np.log10(flux) == pytest.approx(wanted, abs=1e-5)
            wanted = [table[key][row] for key in ("zspec", "mag_i")]
            np.testing.assert_allclose(values[:2], wanted, rtol=1e-6)
            assert values[2:] == [table["ra"][row], table["dec"][row]]  # all bits
    assert sorted(seen) == list(range(30))


def test_survey_is_listed_and_opened_by_name(described, catalogs):
    name = files_in.import_file(described("Listed one", catalogs.columns(30)))
    assert {name, "catalog/listed_one"} <= set(data.list_surveys())
    assert sum(map(len, data.open_survey("catalog/listed_one").values())) == 30
    with pytest.raises(InputError, match="Unknown survey.*catalog/listed_one") as told:
        data.open_survey("catalog/listed_on")
    assert name not in str(told.value)  # told once, without the hash


@pytest.mark.parametrize("positions", [True, False])
def test_same_objects_fall_into_the_same_splits_of_two_catalogues(
    described, catalogs, positions
):
    table = catalogs.columns(60)
    if positions:
        table["ra"], table["dec"] = np.linspace(0, 9, 60), np.linspace(-5, 5, 60)
    table["zphot"] = table["zspec"] + 0.01
    keys = {"redshift": "zphot", "id": "objid"}
    photometric = files_in.open_file(described(f"phot{positions}", table, keys=keys))
    order = np.random.default_rng(0).permutation(60)[:40]
    few = {key: column[order] for key, column in table.items()}
    spectroscopic = files_in.open_file(described(f"spec{positions}", few))
    mine, others = splits_of(spectroscopic), splits_of(photometric)
    assert len(mine) == 40 and mine.items() <= others.items()
    data.check_disjoint(photometric["train"], spectroscopic["test"])
    with pytest.raises(InputError, match="share an object"):
        data.check_disjoint(photometric["train"], spectroscopic["train"])


@pytest.mark.parametrize(("said", "band"), [({}, None), ({"reference_band": "r"}, "r")])
def test_a_magnitude_of_the_tables_own_is_of_no_known_band(
    described, catalogs, said, band
):
    table = catalogs.columns(30)
    assert (
        files_in.open_file(described("plain", table))["train"].info.metadata[
            "reference_band"
        ]
        == "i"
    )
    table["magnitude"] = np.full(30, 21.0)
    info = files_in.open_file(described("own", table, **said))["train"].info
    assert info.metadata["reference_band"] == band


def test_repeats_within_an_arcsecond_share_a_split(described, catalogs):
    table = catalogs.columns(60)
    table["ra"] = np.repeat(np.linspace(0, 9, 30), 2)
    table["dec"] = np.tile([0.0, 0.5 / 3600], 30)
    found = splits_of(files_in.open_file(described("pairs", table)))
    ids = [str(name) for name in table["objid"]]
    assert all(found[a] == found[b] for a, b in zip(ids[::2], ids[1::2], strict=True))


def test_what_was_not_seen_is_counted_by_band_in_one_line(described, catalogs, capsys):
    table = catalogs.columns(30)
    table["mag_g"][:4], table["mag_i"][5] = 99.0, -99.0
    table["mag_i"][7] = np.nan
    files_in.import_file(described("unseen", table))
    told = [line for line in capsys.readouterr().err.splitlines() if "not det" in line]
    assert told == ["unseen.csv: of 30 rows not detected in g 4; not observed in i 2."]


def test_bad_rows_stop_the_import_by_reason_and_can_be_skipped(described, catalogs):
    table = catalogs.columns(30)
    table["err_g"][3], table["err_r"][9], table["zspec"][5] = 0.0, -0.1, -99.0
    told = r"3 of 30 rows without, first row 3 \(id \d+, not_positive_error\); in all "
    told += "2 not_positive_error, 1 sentinel_redshift"
    with pytest.raises(InputError, match=told):
        files_in.import_file(described("bad", table))
    samples = files_in.open_file(described("bad", table, skip_bad=True))
    assert sum(map(len, samples.values())) == 27


def test_rows_without_id_get_names_and_repeated_ids_are_refused(described, catalogs):
    table = catalogs.columns(30)
    samples = files_in.open_file(described("anon", table, keys={"redshift": "zspec"}))
    assert set(splits_of(samples)) == {f"anon-{row}" for row in range(30)}
    table["objid"][4] = table["objid"][2]
    with pytest.raises(InputError, match="'1237655500272500816' more than once"):
        files_in.import_file(described("twice", table))


def test_photometry_must_be_declared_or_said_to_be_unknown(described, catalogs):
    spec = described("asked", catalogs.columns(30), photometry=None)
    with pytest.raises(InputError, match="nothing on magnitude_type, magnitude_system"):
        files_in.import_file(spec)


@pytest.mark.large
def test_real_clusters_have_one_split_for_both_redshifts(real_data):
    said = {
        "file": real_data / "redmapper_sdss" / "redmapper_even.parquet",
        "bands": tuple("ugriz"),
        "magnitudes": [f"modelmag_{band}" for band in "ugriz"],
        "magnitude_errors": [f"modelmag_err_{band}" for band in "ugriz"],
        "photometry": "unknown",
        "maximum_magnitude_error": 1.0,
        "skip_bad": True,
    }
    found = []
    for label in ("z_lambda", "z_spec"):
        keys = {"redshift": label, "id": "bcg_objid"}
        spec = CatalogSpec.create(name=f"red_{label}", keys=keys, **said)
        found.append(splits_of(files_in.open_file(spec)))
    photometric, spectroscopic = found
    assert (len(photometric), len(spectroscopic)) == (13175, 8168)
    assert spectroscopic.items() <= photometric.items()

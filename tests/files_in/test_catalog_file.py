"""Tables as their specs describe them: exact, in chunks, and refused in one line."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy import units
from astropy.table import Table

from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.readers import CatalogFile
from kphotoz.tables import MISSING, open_table
from kphotoz.tables.text_table import ECSVTable

FORMATS = ("csv", "tsv", "ecsv", "fits", "parquet")


@pytest.fixture
def opened(catalogs, tmp_path):
    """Returns a function that writes a table, changed, and opens it as described."""

    def open_catalog(table=None, suffix="csv", said=None, **changed):
        table = (catalogs.columns() if table is None else table) | changed
        path = catalogs.write(tmp_path / f"table.{suffix}", table)
        return CatalogFile(
            CatalogSpec.create(file=path, **catalogs.fields(**(said or {})))
        )

    return open_catalog


def whole(file, size=5, start=0):
    parts = list(file.chunks(size, start))
    return np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def test_all_formats_give_the_same_bits_and_ids(opened, catalogs):
    found = []
    for suffix in FORMATS:
        file = opened(suffix=suffix)
        photometry, flags = whole(file)
        assert (flags == "").all() and len(file) == 8
        assert file.table["id"].tolist() == [
            str(1237655500272500810 + 3 * row) for row in range(8)
        ]
        found.append((photometry.tobytes(), file.table["redshift"].tobytes()))
    assert len(set(found)) == 1
    magnitudes = np.stack([catalogs.columns()[f"mag_{b}"] for b in "gri"], axis=1)
    wanted = (magnitudes * units.ABmag).to_value(units.uJy)
    np.testing.assert_allclose(photometry[..., 0], wanted, rtol=5e-4)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "fits"])
def test_gzipped_tables_are_read_as_plain_ones(opened, catalogs, suffix):
    plain = opened(suffix=suffix)
    packed = plain.spec.file.with_name(f"packed.{suffix}.gz")
    packed.write_bytes(gzip.compress(plain.spec.file.read_bytes()))
    file = CatalogFile(CatalogSpec.create(file=packed, **catalogs.fields()))
    assert file.table["id"].tolist() == plain.table["id"].tolist()
    np.testing.assert_array_equal(whole(file)[0], whole(plain)[0])
    packed.write_bytes(gzip.compress(bytes(1 << 27)))
    with pytest.raises(InputError, match="unpacks to more than"):
        CatalogFile(CatalogSpec.create(file=packed, **catalogs.fields()))


@pytest.mark.parametrize("suffix", FORMATS)
def test_chunks_of_any_size_and_start_hold_the_rows_in_order(opened, catalogs, suffix):
    file = opened(catalogs.columns(20), suffix)
    wanted, _ = whole(file, 100)
    for size in (1, 3, 7, 20):
        firsts = [first for first, _, _ in file.chunks(size)]
        assert firsts == list(range(0, 20, size))
        np.testing.assert_array_equal(whole(file, size)[0], wanted)
        np.testing.assert_array_equal(whole(file, size, 5)[0], wanted[5:])


@pytest.mark.parametrize("suffix", ["fits", "parquet"])
def test_what_comes_before_the_first_row_is_not_read(catalogs, tmp_path, suffix):
    columns = catalogs.columns(200)
    path = catalogs.write(tmp_path / f"t.{suffix}", columns)
    table, content = open_table(path), bytearray(path.read_bytes())
    wanted = [chunk["mag_g"].tolist() for _, chunk in table.chunks(["mag_g"], 7, 150)]
    assert sum(wanted, []) == columns["mag_g"][150:].tolist()
    if suffix == "parquet":
        content[4:200] = bytes(196)  # of the first group of three rows
        path.write_bytes(content)
        with pytest.raises(InputError, match="parquet"):
            next(table.chunks(["mag_g"], 7))
    else:
        seen = []
        table._column = lambda rows, name: seen.append(len(rows)) or rows[name]
    again = [chunk["mag_g"].tolist() for _, chunk in table.chunks(["mag_g"], 7, 150)]
    assert again == wanted
    assert suffix == "parquet" or sum(seen) == 50
    assert list(table.chunks(["mag_g"], 7, 200)) == []


def test_whole_numbers_stay_exact_where_some_are_missing(opened, catalogs):
    table = catalogs.columns()
    ids = table["objid"].tolist()
    ids[2] = None
    file = opened(table, "parquet", objid=ids)
    assert file.table["id"][[1, 2, 3]].tolist() == [str(ids[1]), "", str(ids[3])]
    huge = np.full(8, 2**64 - 1, np.uint64) - np.arange(8, dtype=np.uint64)
    for suffix in ("parquet", "fits", "csv"):
        assert opened(table, suffix, objid=huge).table["id"][1] == str(2**64 - 2)


@pytest.mark.parametrize("suffix", ["fits", "parquet"])
def test_entries_of_array_columns_are_bands(opened, catalogs, suffix):
    table = catalogs.columns()
    arrays = {
        kind: np.stack([table[f"{kind}_{band}"] for band in "gri"], axis=1)
        for kind in ("mag", "err")
    }
    said = {
        "magnitudes": [f"mag[{k}]" for k in range(3)],
        "magnitude_errors": [f"err[{k}]" for k in range(3)],
    }
    file = opened(table, suffix, said, **arrays)
    np.testing.assert_array_equal(whole(file)[0], whole(opened())[0])
    with pytest.raises(InputError, match="3 columns, counted from 0"):
        wrong = {"magnitudes": ["mag[0]", "mag[3]", "mag[1]"]}
        opened(table, suffix, said | wrong, **arrays)
    with pytest.raises(InputError, match=r"'mag\[I\]'"):
        wrong = {"magnitudes": ["mag", "mag[1]", "mag[2]"]}
        opened(table, suffix, said | wrong, **arrays)


@pytest.mark.parametrize("word", [word for word in MISSING if word])
def test_words_for_missing_numbers_are_missing_however_deep(opened, catalogs, word):
    table = catalogs.columns(5000)
    table = {name: column.astype(object) for name, column in table.items()}
    table["mag_g"][4990], table["zspec"][4991] = f" {word} ", word
    file = opened(table)
    photometry, flags = whole(file, 4096)
    assert np.isnan(photometry[4990, 0, 0]) and not flags[4990]
    assert np.isnan(file.table["redshift"][4991])
    assert np.isnan(photometry[..., 0]).sum() == 1
    with pytest.raises(InputError, match="'none at all' in row 4990"):
        table["mag_g"][4990] = "none at all"
        whole(opened(table), 4096)


def test_lists_of_unequal_length_are_refused(opened, catalogs):
    table = catalogs.columns()
    ragged = np.array([[22.0, 21.0, 20.0]] * 7 + [[22.0], None], object)[:-1]
    said = {"magnitudes": [f"mag[{k}]" for k in range(3)]}
    with pytest.raises(InputError, match="lists of one length in column 'mag'"):
        opened(table, "parquet", said, mag=ragged)


def test_offsets_extinction_and_large_errors_are_applied(opened, catalogs):
    table = catalogs.columns()
    extinction = {f"A_{b}": np.linspace(0.1, 0.8, 8) * k for k, b in enumerate("gri")}
    extinction["A_g"] = np.array([0.2] * 7 + [-99.0])
    table["err_i"][4] = 1.5
    said = {
        "ab_offset": (-0.04, 0.0, 0.02),
        "extinction": "deredden",
        "extinction_columns": list(extinction),
        "maximum_magnitude_error": 1.0,
    }
    photometry, flags = whole(opened(table, "csv", said, **extinction))
    magnitudes = 23.9 - 2.5 * np.log10(photometry[..., 0])
    wanted = np.stack([table[f"mag_{b}"] - extinction[f"A_{b}"] for b in "gri"], axis=1)
    wanted += np.array(said["ab_offset"])
    wanted[7, 0] = wanted[4, 2] = np.nan
    np.testing.assert_allclose(magnitudes, wanted, atol=1e-5)
    share = photometry[..., 1] / photometry[..., 0] * 2.5 / np.log(10)
    errors = np.stack([table[f"err_{b}"] for b in "gri"], axis=1)
    known = np.isfinite(wanted)
    np.testing.assert_allclose(share[known], errors[known], rtol=1e-5)
    assert (flags == "").all()


def test_rows_that_cannot_be_used_are_flagged(opened, catalogs):
    table = catalogs.columns()
    for band in "gri":
        table[f"mag_{band}"][1] = (-99.0, np.nan, -9999.0)["gri".index(band)]
        table[f"mag_{band}"][6] = 99.0
    table["err_r"][2], table["err_i"][3], table["err_g"][4] = 0.0, -0.1, -99.0
    for suffix in FORMATS:
        photometry, flags = whole(opened(table, suffix))
        assert flags.tolist() == [
            *("", "no_photometry", "not_positive_error", "not_positive_error"),
            *("", "", "no_detection", ""),
        ]
        assert np.isnan(photometry[4, 0]).all() and (photometry[6, :, 0] == 0).all()


def test_reference_band_gives_the_magnitude_unless_one_is_mapped(opened, catalogs):
    table, rows = catalogs.columns(), np.arange(8)
    file = opened(table)
    np.testing.assert_allclose(
        file.magnitudes(rows, whole(file)[0]), table["mag_i"], atol=1e-5
    )
    file = opened(table, said={"reference_band": "g"}, magnitude=np.full(8, 19.0))
    np.testing.assert_allclose(
        file.magnitudes(rows, whole(file)[0]), table["mag_g"], atol=1e-5
    )
    file = opened(table, magnitude=np.full(8, 19.0))
    assert file.magnitudes(rows, whole(file)[0]).tolist() == [19.0] * 8


@pytest.mark.parametrize(
    ("changed", "said", "told"),
    [
        ({}, {"magnitudes": ("mag_g", "mag_R", "mag_i")}, "Did you mean mag_r, mag_"),
        ({"mag_g": np.array([*"1234567", "x"])}, {}, "'mag_g' in .*'x' in row 7"),
        ({"zspec": np.array([*"1234567", "x"])}, {}, "'zspec' in .*'x' in row 7"),
        ({"zspec": np.full(8, 21.5)}, {}, "'zspec' .* median of 21.5, as magnitudes"),
        ({"objid": np.arange(8) / 2.0}, {}, "cannot hold long ids"),
        ({"mag_r": np.full(8, 0.7)}, {}, "r 0.7, .*--ab-offset, and which columns"),
        ({"mag_i": np.linspace(10, 800, 8)}, {}, "as fluxes have"),
    ],
)
def test_impossible_tables_are_refused_in_one_line(opened, changed, said, told):
    for suffix in ("csv", "parquet", "fits"):
        if suffix == "csv" and "objid" in changed:
            continue  # where every number is text
        if suffix == "fits" and any(x.dtype.kind == "U" for x in changed.values()):
            continue
        with pytest.raises(InputError, match=told) as error:
            whole(file := opened(suffix=suffix, said=said, **changed))
            file.table  # noqa: B018
        assert "\n" not in str(error.value)


def test_colours_are_judged_where_many_objects_were_detected(opened, catalogs):
    """A single object may drop out of a band, and noise has no colour."""
    fields = {
        "bands": ("u", "g", "r"),
        "fluxes": ("f_u", "f_g", "f_r"),
        "flux_errors": ("e_u", "e_g", "e_r"),
        "unit": "uJy",
        **{"magnitudes": None, "magnitude_errors": None, "keys": {}},
    }
    one = {"f_u": 0.001, "f_g": 0.5, "f_r": 1.2}
    one |= {"e_u": 0.05, "e_g": 0.05, "e_r": 0.05}
    for rows, changed in [(1, {}), (40, {}), (9, {"e_u": 1e-4})]:
        table = {name: np.full(rows, x) for name, x in (one | changed).items()}
        assert (whole(opened(table, said=fields))[1] == "").all()
    with pytest.raises(InputError, match="colours within 6.*u 31.4, g 24.7"):
        table = {name: np.full(40, x) for name, x in (one | {"e_u": 1e-4}).items()}
        opened(table, said=fields)
    with pytest.raises(InputError, match="colours within 6.*r 14.0"):
        opened(catalogs.columns(40), mag_r=np.full(40, 14.0))


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_tables_are_refused(opened, catalogs, suffix):
    table = {key: value[:0] for key, value in catalogs.columns().items()}
    with pytest.raises(InputError, match="at least one row|it is empty"):
        opened(table, suffix)


def test_wrong_units_are_refused_with_what_they_imply(opened, catalogs):
    table = catalogs.columns(40)
    for band in "gri":
        table[f"mag_{band}"] = 10 ** (0.4 * (31.4 - table[f"mag_{band}"]))  # nJy
        table[f"err_{band}"] = 0.05 * table[f"mag_{band}"]
    said = {
        "fluxes": ("mag_g", "mag_r", "mag_i"),
        "flux_errors": ("err_g", "err_r", "err_i"),
        "magnitudes": None,
        "magnitude_errors": None,
    }
    assert opened(table, said=said | {"unit": "nJy"}).bands == ("g", "r", "i")
    with pytest.raises(InputError, match=r"g -0\.\d, r -\d\.\d, i -\d\.\d, as what"):
        opened(table, said=said | {"unit": "Jy"})
    with pytest.raises(InputError, match="colours within 6"):
        opened(table, said=said | {"zero_point": (31.4, 23.9, 31.4)})


def test_magnitudes_given_as_fluxes_are_refused(opened, catalogs):
    said = {
        "fluxes": ("mag_g", "mag_r", "mag_i"),
        "flux_errors": ("err_g", "err_r", "err_i"),
        "unit": "nanomaggy",
        "magnitudes": None,
        "magnitude_errors": None,
    }
    with pytest.raises(InputError, match="as magnitudes have. If they are, say --mag"):
        opened(catalogs.columns(40), said=said)


def test_column_z_is_neither_redshift_nor_magnitude_by_itself(opened, catalogs):
    table = catalogs.columns()
    table["z"] = table.pop("zspec")
    with pytest.raises(InputError, match="say --key redshift=z"):
        opened(table, said={"keys": {"id": "objid"}}).require("redshift")
    file = opened(table, said={"keys": {"id": "objid", "redshift": "z"}})
    np.testing.assert_array_equal(file.table["redshift"], table["z"])
    twice = {"keys": {}, "magnitudes": ("mag_g", "mag_r", "redshift")}
    with pytest.raises(InputError, match="'redshift' for both"):
        opened(table, said=twice, redshift=table["mag_i"])


def test_exchanged_fluxes_and_errors_are_refused(opened, catalogs):
    """Pure noise has a median |flux|/error of 0.67, so that it is not refused."""
    rng = np.random.default_rng(3)
    fluxes, errors = rng.uniform(5, 50, (3, 40)), np.full((3, 40), 0.5)
    noise = rng.normal(0, 0.5, (3, 40))
    table = catalogs.columns(40)
    for row, band in enumerate("gri"):
        table |= {f"f_{band}": fluxes[row], f"e_{band}": errors[row]}
        table[f"n_{band}"] = noise[row]

    def open_as(values, sigmas):
        said = {"magnitudes": None, "magnitude_errors": None, "unit": "uJy"}
        said["fluxes"] = [f"{values}_{band}" for band in "gri"]
        said["flux_errors"] = [f"{sigmas}_{band}" for band in "gri"]
        return opened(table, said=said)

    open_as("f", "e"), open_as("n", "e")
    with pytest.raises(InputError, match="--flux-errors: are columns exchanged"):
        open_as("e", "f")


def test_what_the_declared_unit_implies_is_known(opened, catalogs):
    table = catalogs.columns()
    medians = [f"{b} {np.median(table[f'mag_{b}']):.1f}" for b in "gri"]
    assert opened().implied == ", ".join(medians)


@pytest.mark.parametrize("packer", [gzip, bz2, lzma], ids=lambda one: one.__name__)
def test_ecsv_that_astropy_would_unpack_without_a_limit_is_refused(packer, tmp_path):
    path = tmp_path / "t.ecsv"
    Table({"z": [0.5, 1.5]}).write(path, format="ascii.ecsv")
    assert ECSVTable(path).names == ["z"]
    path.write_bytes(packer.compress(path.read_bytes()))
    assert Table.read(path, format="ascii.ecsv")["z"].tolist() == [0.5, 1.5]
    with pytest.raises(InputError, match="it begins with.*ECSV") as told:
        ECSVTable(path)
    assert "\n" not in str(told.value)

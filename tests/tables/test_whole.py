import gzip
import warnings

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from pyarrow import csv, parquet

from kphotoz.errors import InputError
from kphotoz.tables import column, open_table, read_table

COLUMNS = {
    "z": np.array([0.1, np.nan, 2.5]),
    "count": np.array([1, 2, 3]),
    "name": np.array(["a", "bc", ""]),
}


def write(path):
    if path.name.endswith("parquet"):
        parquet.write_table(pa.table(COLUMNS), path)
    else:
        Table(COLUMNS).write(path, delimiter="\t", format="ascii.fast_csv") if (
            path.suffix == ".tsv"
        ) else Table(COLUMNS).write(path)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.ecsv", "t.fits", "t.fits.gz", "t.parquet"]
)
def test_values_survive_every_format(name, tmp_path):
    found = read_table(write(tmp_path / name))
    assert list(found) == list(COLUMNS)
    np.testing.assert_array_equal(found["z"], COLUMNS["z"])
    np.testing.assert_array_equal(found["count"], COLUMNS["count"])
    assert found["name"].tolist() == ["a", "bc", ""]
    assert found["z"].dtype.isnative and found["name"].dtype.kind == "U"


def test_format_is_told_from_the_content_not_the_suffix(tmp_path):
    write(tmp_path / "t.parquet").rename(tmp_path / "t.csv")
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv")["z"], COLUMNS["z"])


def test_gzipped_csv_is_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"z,w\n0.5,1\n"))
    assert read_table(path)["z"].tolist() == [0.5]


def test_gzip_is_told_from_the_content_not_the_suffix(tmp_path):
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"z,w\n0.5,1\n"))
    (tmp_path / "u.csv.gz").write_bytes(b"z,w\n0.5,1\n")
    for name in ("t.csv", "u.csv.gz"):
        assert read_table(tmp_path / name)["z"].tolist() == [0.5]


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"z\n")
        for _ in range(100):
            file.write(b"1\n" * (1 << 19))
    with pytest.raises(InputError, match="unpacks to more") as told:
        read_table(path)
    assert "\n" not in str(told.value)


def test_what_pyarrow_would_unpack_without_a_limit_is_refused(tmp_path):
    path = tmp_path / "t.csv.zst"
    for seed in range(200):
        numbers = np.random.default_rng(seed).random(1000)
        text = "z\n" + "".join(f"{number}\n" for number in numbers)
        path.write_bytes(pa.compress(text.encode(), "zstd", asbytes=True))
        if b"\0" not in path.read_bytes()[:80]:  # others are refused at once
            break
    assert csv.read_csv(path)["z"].to_pylist() == numbers.tolist()
    with pytest.raises(InputError, match="whole CSV table") as told:
        read_table(path)
    assert "\n" not in str(told.value)


def test_missing_numbers_become_nan_in_every_format(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,x\n,y\nNaN,z\n")
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv")["a"], [1, np.nan] * 1 + [np.nan])  # fmt: skip  # noqa: E501
    parquet.write_table(pa.table({"a": pa.array([1, None, 3])}), tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")["a"]
    np.testing.assert_array_equal(found, [1, np.nan, 3])
    masked = MaskedColumn([1.0, 2.0], mask=[False, True])
    Table({"a": masked}).write(tmp_path / "t.ecsv")
    np.testing.assert_array_equal(read_table(tmp_path / "t.ecsv")["a"], [1, np.nan])


def test_first_table_of_a_fits_file_is_read(tmp_path):
    image = fits.PrimaryHDU(np.zeros((2, 3), np.float32))
    table = fits.BinTableHDU(Table({"z": [0.5, 1.5]}))
    fits.HDUList([image, table]).writeto(tmp_path / "t.fits")
    assert read_table(tmp_path / "t.fits")["z"].tolist() == [0.5, 1.5]
    image.writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="none a table"):
        read_table(tmp_path / "image.fits")


@pytest.mark.parametrize("name", ["t.fits", "t.fits.gz", "t.parquet", "t.ecsv"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_table_is_refused_in_one_line(name, kept, tmp_path):
    path = write(tmp_path / name)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    try:
        found = read_table(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:  # a text table cut between two lines is a table
        assert name == "t.ecsv" and len(found["z"]) < 3


@pytest.mark.parametrize(
    "name", ["t.csv", "t.ecsv", "t.fits", "t.fits.gz", "t.parquet"]
)
def test_damaged_table_is_read_or_refused_but_never_crashes(name, tmp_path):
    path = write(tmp_path / name)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    generator = np.random.default_rng(8)
    for _ in range(40):
        broken = whole.copy()
        places = generator.integers(0, whole.size, 6)
        broken[places] = generator.integers(0, 256, 6)
        path.write_bytes(broken.tobytes())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_table(path)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "cannot be read|at least one row"),
        (b"z,z_pred\n", "at least one row"),
        (b"z,z\n1,2\n", "two of 'z'"),
        (b"z z_pred\n1 2\n", "separated by commas"),
        (b"a,b\n1,2\n3\n", "cannot be read"),
        (b"\x89HDF\r\n\x1a\n\0\0", "begins with"),
        (b"\x80\x04\x95\0\0", "begins with"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(content, told, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_table(path)


def test_absent_file_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="Is a directory"):
        read_table(tmp_path)


def test_column_is_found_or_its_neighbours_named():
    with pytest.raises(InputError, match="Did you mean count"):
        column(COLUMNS, "counts")
    with pytest.raises(InputError, match="one number a row"):
        column({"image": np.zeros((3, 2, 2))}, "image", numeric=True)
    assert column(COLUMNS, "count", numeric=True).dtype == np.float64


def test_a_cell_of_ecsv_without_end_is_refused(tmp_path):
    path = tmp_path / "a.ecsv"
    head = "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: z, datatype: string}\nz\n"
    path.write_text(head + "x" * 200_000)
    with pytest.raises(InputError, match="field larger than field limit"):
        read_table(path)


def test_readers_of_chunks_tell_formats_from_the_content_too(tmp_path):
    write(tmp_path / "t.parquet").rename(tmp_path / "t.dat")
    (_, chunk), _ = open_table(tmp_path / "t.dat").chunks(["count"], 2)
    assert chunk["count"].tolist() == [1, 2]


def test_a_ragged_column_is_in_nobodys_way(tmp_path):
    lists = pa.array([[1.0], [1.0, 2.0], None])
    parquet.write_table(pa.table(COLUMNS | {"pdf": lists}), tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(found["z"], COLUMNS["z"])
    with pytest.raises(InputError, match="one number a row in column 'pdf'"):
        column(found, "pdf", numeric=True)


def test_warnings_of_style_refuse_no_fits_file(tmp_path):
    path = write(tmp_path / "t.fits")
    content = path.read_bytes()
    # Lower-case keywords break the standard; astropy warns of them and reads on.
    path.write_bytes(content.replace(b"PCOUNT  =", b"pcount  =", 1))
    with pytest.warns(Warning), fits.open(path) as file:
        file[1].verify("fix")
    np.testing.assert_array_equal(read_table(path)["z"], COLUMNS["z"])


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["1", "2"], np.array([1, 2])),
        (["1", " N/A", "3"], np.array([1, np.nan, 3])),
        (["1e3", "-.5", "inf"], np.array([1000, -0.5, np.inf])),
        (["true", "False"], np.array([True, False])),
        (["1", "x"], np.array(["1", "x"])),
        (["1_000", "2"], np.array(["1_000", "2"])),  # what int() would take
        (["", "nan"], np.array([np.nan, np.nan])),
        (["9223372036854775807", "1"], np.array([2**63 - 1, 1])),
    ],
)
def test_text_of_numbers_is_numbers(cells, wanted, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{x},0\n" for x in cells))
    found = read_table(tmp_path / "t.csv")["a"]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)

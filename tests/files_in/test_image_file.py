"""Files of users: equal content in any format, one clear line for what is wrong."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.readers import ImageFile

KINDS = ["hdf5", "npz", "fits"]


def opened(path, **fields):
    return ImageFile(FileSpec.create(file=path, **{"bands": tuple("griz")} | fields))


def everything(path, size=4, **fields):
    with opened(path, **fields) as file:
        chunks = list(file.chunks(size))
        images = np.concatenate([images for _, images, _ in chunks])
        return images, np.concatenate([flags for _, _, flags in chunks]), file.table


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", [False, True])
def test_every_format_and_layout_gives_the_same_bits(
    make_file, plain_cutouts, kind, last
):
    wanted, columns = plain_cutouts()
    stored = np.moveaxis(wanted, 1, -1) if last else wanted
    images, flags, table = everything(make_file(kind, np.ascontiguousarray(stored)))
    np.testing.assert_array_equal(images, np.moveaxis(wanted, 1, -1))
    assert images.dtype == np.float32 and set(flags) == {""}
    assert table["id"].tolist() == columns["id"].tolist()
    np.testing.assert_array_equal(table["redshift"], columns["redshift"])


@pytest.mark.parametrize("kind", KINDS)
def test_reading_can_begin_at_any_row(make_file, plain_cutouts, kind):
    wanted = np.moveaxis(plain_cutouts()[0], 1, -1)
    with opened(make_file(kind)) as file:
        for start in (4, 1, 5, 0):
            first, images, _ = next(file.chunks(2, start))
            assert first == start
            np.testing.assert_array_equal(images, wanted[start : start + 2])


@pytest.mark.parametrize("kind", KINDS)
def test_unusable_pixels_are_flagged_not_dropped(make_file, plain_cutouts, kind):
    images = plain_cutouts()[0].copy()
    images[1, 0, 0, 0], images[2, 1, 3, 3], images[4] = np.nan, np.inf, 0
    _, flags, _ = everything(make_file(kind, images))
    bad = "non_finite_pixels"
    assert flags.tolist() == ["", bad, bad, "", "all_zero_image", ""]


def test_missing_and_damaged_cutouts_are_flagged(make_file):
    path = make_file("fits")
    (path / "1.fits").unlink()
    (path / "2.fits").write_bytes((path / "2.fits").read_bytes()[:3000])
    fits.PrimaryHDU(np.ones((4, 20, 20), "f4")).writeto(path / "3.fits", overwrite=True)
    _, flags, _ = everything(path)
    reasons = ["missing_image", "unreadable_image", "wrong_shape"]
    assert flags.tolist() == ["", *reasons, "", ""]


def test_bands_as_extensions_or_files_equal_the_cube(make_file, plain_cutouts):
    wanted = plain_cutouts()[0]
    path = make_file("fits")
    for row, image in enumerate(wanted):
        planes = [
            fits.ImageHDU(plane, name=band)
            for plane, band in zip(image, "griz", strict=True)
        ]
        hdus = fits.HDUList([fits.PrimaryHDU(), *planes])
        hdus.writeto(path / f"{row}.fits", overwrite=True)
        for plane, band in zip(image, "griz", strict=True):
            fits.PrimaryHDU(plane).writeto(path / f"n{row}-{band}.fits")
    extensions, _, _ = everything(path)
    np.testing.assert_array_equal(extensions, np.moveaxis(wanted, 1, -1))
    files, _, _ = everything(path, keys={"image": "{id}-{band}.fits"})
    np.testing.assert_array_equal(files, extensions)
    with pytest.raises(InputError, match="Received: G,R,I,Z"):
        opened(path, bands=tuple("rgiz"))


@pytest.mark.parametrize("key", ["image", "{id}-{band}.fits"])
def test_cutouts_of_one_band_are_planes(make_file, plain_cutouts, key):
    wanted = plain_cutouts()[0][:, :1]
    path = make_file("fits")
    for row, image in enumerate(wanted):
        for name in (f"{row}.fits", f"n{row}-i.fits"):
            fits.PrimaryHDU(image[0]).writeto(path / name, overwrite=True)
    images, flags, _ = everything(path, bands=("i",), keys={"image": key})
    np.testing.assert_array_equal(images, np.moveaxis(wanted, 1, -1))
    assert set(flags) == {""}


def test_a_column_that_nobody_asked_for_may_be_of_any_kind(make_file, plain_cutouts):
    import pyarrow as pa
    from pyarrow import csv, parquet

    path = make_file("fits")
    table = csv.read_csv(path / "table.csv")
    ragged = pa.array([[1.0] * row for row in range(len(table))])
    parquet.write_table(table.append_column("history", ragged), path / "t.parquet")
    (path / "table.csv").unlink()
    images, _, _ = everything(path)
    np.testing.assert_array_equal(images, np.moveaxis(plain_cutouts()[0], 1, -1))


def test_bands_of_the_file_are_used_and_compared(make_file):
    path = make_file("hdf5")
    with opened(path, bands=None) as file:
        assert file.bands == tuple("griz")
    with pytest.raises(InputError, match="Wanted: bands r,g,i,z.*Received: g,r,i,z"):
        opened(path, bands=tuple("rgiz"))
    with h5py.File(path, "a") as file:
        file["images"].attrs["bands"] = "griz"
    with opened(path, bands=None) as file:
        assert file.bands == tuple("griz")


def test_column_of_an_array_is_mapped_by_its_number(make_file):
    magnitudes = np.arange(12.0).reshape(6, 2) + 20
    path = make_file("npz", mag=magnitudes)
    _, _, table = everything(path, keys={"magnitude": "mag[1]"})
    np.testing.assert_array_equal(table["magnitude"], magnitudes[:, 1])
    for key in ("mag", "mag[2]", "redshift[0]"):
        with pytest.raises(InputError, match="Received: "):
            everything(path, keys={"magnitude": key})


def test_sentinels_of_magnitudes_and_errors_become_unknown(make_file):
    path = make_file(
        "npz",
        magnitude=np.array([20, 99, -99, 21, np.nan, 22.0]),
        redshift_err=np.array([0.1, -1, 0, 0.2, -99, 0.3]),
    )
    _, _, table = everything(path)
    gone = np.isnan(table["magnitude"]), np.isnan(table["redshift_error"])
    assert np.flatnonzero(gone[0]).tolist() == [1, 2, 4]
    assert np.flatnonzero(gone[1]).tolist() == [1, 2, 4]


def test_column_z_is_not_taken_for_the_redshift(make_file):
    path = make_file("npz", redshift=None, z=np.full(6, 1.5))
    with opened(path) as file, pytest.raises(InputError, match="--key redshift=z"):
        file.require("redshift")
    with opened(path, keys={"redshift": "z"}) as file:
        file.require("redshift")
        assert file.table["redshift"][0] == 1.5
    magnitudes = make_file("npz", redshift=None, z=np.full(6, 21.5))
    with opened(magnitudes, keys={"redshift": "z"}) as file:
        with pytest.raises(InputError, match="'z' of .* median of 21.5, as magnitudes"):
            file.table  # noqa: B018


def test_equal_axes_need_a_layout(make_file):
    images = np.random.default_rng(0).normal(size=(6, 16, 16, 16)).astype("f4")
    bands = tuple(f"b{number}" for number in range(16))
    path = make_file("npz", images)
    with pytest.raises(InputError, match="Say band_first or band_last"):
        opened(path, bands=bands)
    found, _, _ = everything(path, bands=bands, layout="band_first")
    np.testing.assert_array_equal(found, np.moveaxis(images, 1, -1))


@pytest.mark.parametrize(
    ("changed", "fields", "told"),
    [
        ({"images": np.ones((6, 4, 15, 15))}, {}, "at least 16 pixels"),
        ({"images": np.ones((6, 4, 16, 20))}, {}, "square images in 4 bands"),
        ({"images": np.ones((6, 3, 16, 16))}, {}, "square images in 4 bands"),
        ({"images": np.ones((6, 4, 256))}, {}, "shape \\(6, 4, 256\\)"),
        ({"images": np.ones((0, 4, 16, 16))}, {}, "at least one object"),
        ({"images": np.ones((6, 4, 16, 16), complex)}, {}, "type complex128"),
        ({"images": np.full((6, 4, 16, 16), "a")}, {}, "type <U1"),
        ({"redshift": np.ones(5)}, {}, "6 images but 5 values of redshift"),
        ({"redshift": np.array(["x"] * 6)}, {}, "Received: 'x' in row 0"),
        ({"id": np.arange(6) * 1.5}, {}, "cannot hold long ids"),
        ({"image": np.ones(6)}, {}, "Received: image and images"),
        ({"redshift": np.array([None] * 6)}, {}, "Python objects"),
        ({}, {"keys": {"redshift": "zz"}}, "Received: images, redshift, id"),
        ({}, {"bands": None}, "Give them with --bands"),
        ({}, {"layout": "band_last"}, "layout band_last"),
    ],
)
def test_impossible_files_are_refused_in_one_line(make_file, changed, fields, told):
    path = make_file("npz", **changed)
    with pytest.raises(InputError, match=told) as error:
        everything(path, **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_truncated_file_is_refused_in_one_line(make_file, kind, part):
    path = make_file(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match="Received: .*cutouts") as error:
        everything(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["nothing.h5", "nothing", "data.txt"])
def test_what_is_no_file_of_cutouts_is_refused(tmp_path, name):
    (tmp_path / "data.txt").write_text("a")
    with pytest.raises(InputError, match="Wanted: .*cutouts"):
        opened(tmp_path / name)


def test_folder_with_two_tables_needs_a_choice(make_file):
    path = make_file("fits")
    (path / "other.csv").write_text("image\n0.fits\n")
    with pytest.raises(InputError, match="other.csv, table.csv.*--table"):
        opened(path)
    with opened(path, table="other.csv") as file:
        assert len(file) == 1 and file.table["id"].tolist() == ["0"]


@pytest.mark.parametrize("suffix", ["fits", "parquet"])
def test_tables_in_fits_and_parquet_equal_the_csv(make_file, suffix):
    from astropy.table import Table

    path = make_file("fits")
    _, _, wanted = everything(path)
    table = Table.read(path / "table.csv", format="ascii.csv")
    table["mag"] = np.arange(12.0).reshape(6, 2)
    if suffix == "fits":
        table.write(path / "table.fits")
    else:
        import pyarrow
        from pyarrow import parquet

        columns = {name: table[name].tolist() for name in ("image", "redshift", "id")}
        values = pyarrow.array(np.arange(12.0))
        columns["mag"] = pyarrow.FixedSizeListArray.from_arrays(values, 2)
        parquet.write_table(pyarrow.table(columns), path / "table.parquet")
    (path / "table.csv").unlink()
    _, _, found = everything(path, keys={"magnitude": "mag[1]"})
    assert found["id"].tolist() == wanted["id"].tolist()
    np.testing.assert_array_equal(found["redshift"], wanted["redshift"])
    np.testing.assert_array_equal(found["magnitude"], np.arange(1, 12, 2))


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_of_what_are_no_characters_is_refused(make_file, order):
    ids = np.array([f"n{row}" for row in range(6)]).astype(f"{order}U2")
    ids.view(f"{order}u4")[3] = 0x110000  # numpy's str() of it is a SystemError
    with pytest.raises(InputError, match="no characters"):
        everything(make_file("npz", id=ids))
    ids.view(f"{order}u4")[3] = 0x10FFFF
    everything(make_file("npz", folder="last", id=ids))

"""Headers of FITS files that would keep astropy busy for hours, or fill the memory."""

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from kphotoz import tables
from kphotoz.errors import InputError
from kphotoz.tables.fits_table import FITSTable
from kphotoz.untrusted.fits_files import open_checked, unpacked


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.fits"
    Table({"id": [1, 2, 3], "z": [0.1, 0.2, 0.3]}).write(path)
    return path


def _replace(path, card, value):
    content = bytearray(path.read_bytes())
    at = content.rindex(f"{card:8}= ".encode())
    content[at + 10 : at + 30] = f"{value:>20}".encode()
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("card", "value", "told"),
    [
        ("NAXIS", "2147483648", "of 0 to 999"),
        ("NAXIS2", "99999999999", "follow"),
        ("NAXIS1", "-24", "below 0"),
        ("NAXIS1", "0", "rows of no bytes"),
        ("TFIELDS", "99999999", "of 0 to 999"),
        ("PCOUNT", "4611686018427387904", "no number"),
        ("NAXIS1", "nan", "no number"),
    ],
)
def test_a_false_header_is_refused_before_astropy_reads_it(table, card, value, told):
    _replace(table, card, value)
    with pytest.raises(ValueError, match=told):
        open_checked(table)
    with pytest.raises(InputError, match=told):
        tables.read_table(table)


READERS = {
    "tables": tables.read_table,
    "catalogues": lambda path: FITSTable(path).read(["m"]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["t.fits", "t.fits.gz"])
@pytest.mark.parametrize(
    ("form", "stored", "header", "wanted"),
    [
        ("I", [21500, -32768, 7], {"TSCAL1": 0.001}, [21.5, None, 0.007]),
        ("I", [21500, -32768, 7], {"TZERO1": 32768}, [54268, None, 32775]),
        ("J", [4, -32768, 7], {"TZERO1": 0.5, "TSCAL1": 2.0}, [8.5, None, 14.5]),
        ("K", [2**31 + 1, -32768, 7], {}, [2**31 + 1, None, 7]),
        ("2I", [[1, 2], [3, -32768]], {"TSCAL1": 0.5}, [[0.5, 1], [1.5, None]]),
        ("I", [-32767, 1, 7], {"TZERO1": -1}, [-32768, 0, 6]),
    ],
)
def test_null_of_a_column_is_its_stored_number(
    tmp_path, reader, name, form, stored, header, wanted
):
    column = fits.Column("m", form, array=np.array(stored))
    hdu = fits.BinTableHDU.from_columns([column])
    # Set afterwards, so that the numbers are stored as given: value = zero + scale * n.
    hdu.header.update(header | {"TNULL1": -32768})
    hdu.writeto(tmp_path / name)
    found = READERS[reader](tmp_path / name)["m"]
    if found.dtype.kind == "f":
        found = np.where(np.isnan(found), None, found.astype(object))
    assert found.tolist() == wanted


def _packed(path, packing):
    image = np.random.default_rng(0).normal(1, 0.2, (16, 16)).astype("f4").round(2)
    packed = fits.CompImageHDU(image, compression_type=packing)
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)


@pytest.mark.parametrize("behind", [b"", b"HIERARCH "])
@pytest.mark.parametrize(
    ("card", "value", "told"),
    [
        # Each of them crashes the decoder.
        (b"ZVAL2", b"-1", "ZVAL2 is below 0"),
        (b"ZTILE1", b"-1", "ZTILE1 is -1"),
        (b"ZCMPTYPE", b"'HCOMPRESS_1'", "packed by HCOMPRESS_1, not by RICE"),
        (b"ZCMPTYPE", b"'PLIO_1  '", "packed by PLIO_1"),
    ],
)
def test_what_would_crash_the_decoder_of_images_is_refused(
    tmp_path, card, value, told, behind
):
    path = tmp_path / "a.fits"
    _packed(path, "RICE_1")
    open_checked(path).close()
    content = bytearray(path.read_bytes())
    at = content.index(card.ljust(8) + b"= ")
    content[at : at + 80] = (behind + card.ljust(8) + b"= " + value).ljust(80)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        open_checked(path)


@pytest.mark.parametrize("packing", ["RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS"])
def test_images_of_safe_packings_pass(tmp_path, packing):
    path = tmp_path / "a.fits"
    _packed(path, packing)
    with open_checked(path) as stream, fits.open(stream) as found:
        assert found[1].data.shape == (16, 16)


def test_a_header_without_end_is_refused(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 80 * 200_000)
    with pytest.raises(ValueError, match="no end"):
        open_checked(path)


@pytest.mark.parametrize("packed", [False, True])
def test_good_files_of_every_kind_pass(tmp_path, packed):
    image = np.arange(64, dtype="f4").reshape(8, 8)
    rows = fits.BinTableHDU(Table({"v": np.arange(6).reshape(3, 2)}))
    ragged = fits.Column("r", "PJ()", array=np.array([[1], [2, 3]], object))
    parts = [fits.PrimaryHDU(), fits.ImageHDU(image), fits.CompImageHDU(image), rows]
    parts += [fits.BinTableHDU.from_columns([ragged])]
    stream = io.BytesIO()
    fits.HDUList(parts).writeto(stream)
    path = tmp_path / "a.fits"
    content = stream.getvalue()
    path.write_bytes(gzip.compress(content) if packed else content)
    with open_checked(path) as checked, fits.open(checked) as found:
        assert len(found) == 5
        np.testing.assert_array_equal(found[1].data, image)
        np.testing.assert_array_equal(found[3].data["v"][2], [4, 5])


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.fits.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(ValueError, match="unpacks to more"):
        unpacked(path)


def _zipped(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.fits", content)
    return stream.getvalue()


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, _zipped])
def test_what_astropy_would_unpack_without_a_limit_is_refused(table, pack):
    table.write_bytes(pack(table.read_bytes()))
    with open(table, "rb") as file, fits.open(file) as unpacked_by_astropy:
        assert unpacked_by_astropy[1].data["id"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="only gzip is unpacked"):
        open_checked(table)
    with pytest.raises(InputError, match="only gzip is unpacked") as told:
        FITSTable(table)
    assert "\n" not in str(told.value)

"""FITS files whose headers were looked through before astropy sees them.

astropy believes headers: a number of axes of 2^31 keeps it busy for an hour.
"""

import gzip
import io
import os
import re
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kphotoz.untrusted import check_size

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["open_checked", "open_plain", "stored_nulls", "unpacked"]

_BEGIN = b"SIMPLE  ="
_BLOCK = 2880
_HEADER = 4000  # blocks of a header; our choice
_MOST = 999  # axes, and columns of a table; the FITS standard
# Behind HIERARCH any name may stand, and astropy takes it as well.
_CARD = re.compile(
    rb"(?:HIERARCH +)?(BITPIX|NAXIS|PCOUNT|GCOUNT|TFIELDS|Z?NAXIS[0-9]+|ZNAXIS|ZBITPIX"
    rb"|ZTILE[0-9]+) *= *([^/]*)"
)
_PACKING = re.compile(rb"(?:HIERARCH +)?ZCMPTYPE *= *'?([^'/]*)")
_BELOW_0 = re.compile(rb"(?:HIERARCH +)?(ZVAL[0-9]+) *= *-")
# Damage makes the decoders of the others (HCOMPRESS, PLIO) write where they must not.
_UNPACKED = (b"RICE_1", b"RICE_ONE", b"GZIP_1", b"GZIP_2", b"NOCOMPRESS")


def open_checked(path: str | os.PathLike) -> BinaryIO:
    """Returns a FITS file opened for reading, unpacked if it is gzipped.

    Raises:
        ValueError: it does not begin as FITS does; a header has no end, or declares
            more than the file holds; an image is packed by HCOMPRESS or PLIO.
        OSError: it cannot be read.
    """
    stream = open_plain(path)
    try:
        _check(stream)
    except BaseException:
        stream.close()
        raise
    stream.seek(0)
    return stream


def open_plain(path: str | os.PathLike) -> BinaryIO:
    """Returns a file opened for reading, unpacked if it is gzipped.

    Raises:
        ValueError: it is gzipped, and damaged or a bomb.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return unpacked(path) if packed else open(path, "rb")


def stored_nulls(
    rows: "fits.FITS_rec", name: str, column: np.ndarray
) -> np.ndarray | None:
    """Returns where the stored numbers, before TSCAL and TZERO, are TNULL, if anywhere.

    Args:
        rows: FITS_rec. Rows of a table.
        name: str. Name of a column.
        column: array. The same column, as astropy gives it.

    Source: FITS standard 4.0, section 7.3.2.
    """
    null, stored = rows.columns[name].null, rows.view(np.ndarray)[name]
    numbers = stored.dtype.kind in "iu" and column.dtype.kind in "iuf"
    if not numbers or not isinstance(null, int):
        return None
    missing = (stored == null).reshape(column.shape)
    return missing if missing.any() else None


def unpacked(path: str | os.PathLike) -> io.BytesIO:
    """Returns the content of a gzipped file, unless it is a bomb.

    Raises:
        ValueError: it is damaged, or unpacks to a hundred times its size and more.
    """
    out, size = io.BytesIO(), os.path.getsize(path)
    limit = (1 << 26) + 100 * size  # our choice: tables shrink to a tenth
    try:
        with gzip.open(path) as file:
            while piece := file.read(1 << 20):
                out.write(piece)
                if out.tell() > limit:
                    raise ValueError(f"it unpacks to more than {limit} bytes")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(str(error)) from error
    out.seek(0)
    return out


def _check(stream: BinaryIO) -> None:
    # astropy would unpack bzip2, xz and zip, without a limit.
    head = stream.read(len(_BEGIN))
    if head != _BEGIN:
        raise ValueError(
            f"it begins with {head!r}, FITS with {_BEGIN!r}; only gzip is unpacked"
        )
    size = stream.seek(0, io.SEEK_END)
    start = 0
    while start < size:
        stream.seek(start)
        cards = _cards(stream)
        if cards is None:
            return  # what follows the last header: astropy tells what it is
        numbers = _numbers(cards)
        here = stream.tell()
        declared = _data_size(numbers)
        if declared > size - here:
            raise ValueError(
                f"a header declares {declared} bytes and {max(size - here, 0)} follow"
            )
        start = here + -(-declared // _BLOCK) * _BLOCK


def _cards(stream: BinaryIO) -> list[bytes] | None:
    cards: list[bytes] = []
    for _ in range(_HEADER):
        block = stream.read(_BLOCK)
        if not cards and not re.match(rb"SIMPLE  =|XTENSION=", block):
            return None
        if len(block) < _BLOCK:
            return None
        cards += [block[at : at + 80] for at in range(0, _BLOCK, 80)]
        if any(card.rstrip() == b"END" for card in cards[-36:]):
            return cards
    raise ValueError("a header has no end")


def _numbers(cards: list[bytes]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for card in cards:
        packing = _PACKING.match(card)
        if packing is not None and packing[1].strip() not in _UNPACKED:
            name = packing[1].strip().decode("latin1")
            raise ValueError(f"an image is packed by {name}, not by RICE or GZIP")
        if (parameter := _BELOW_0.match(card)) is not None:
            raise ValueError(f"{parameter[1].decode()} is below 0")
        match = _CARD.match(card)
        if match is None:
            continue
        name, text = match[1].decode(), match[2].strip()
        if not re.fullmatch(rb"[+-]?[0-9]{1,18}", text):
            raise ValueError(f"{name} is {text[:20].decode('latin1')!r}, no number")
        # Where a card is there twice astropy may take the first or the last.
        if numbers.setdefault(name, int(text)) != int(text):
            raise ValueError(f"{name} is there twice")
    for name in ("NAXIS", "TFIELDS", "ZNAXIS"):
        if not 0 <= numbers.get(name, 0) <= _MOST:
            raise ValueError(f"{name} is {numbers[name]}, of 0 to {_MOST}")
    for name, number in numbers.items():
        if number < 0 and "BITPIX" not in name:
            raise ValueError(f"{name} is {number}, below 0")
    return numbers


def _data_size(numbers: dict[str, int]) -> int:
    axes = [numbers.get(f"NAXIS{i + 1}", 0) for i in range(numbers.get("NAXIS", 0))]
    if "TFIELDS" in numbers and len(axes) == 2 and axes[1] and not axes[0]:
        raise ValueError(f"{axes[1]} rows of no bytes")
    groups = axes[:1] == [0] and len(axes) > 1
    values = _product(axes[1:] if groups else axes) if axes else 0
    values = numbers.get("GCOUNT", 1) * (numbers.get("PCOUNT", 0) + values)
    declared = abs(numbers.get("BITPIX", 8)) // 8 * values
    tiles = [numbers.get(f"ZNAXIS{i + 1}", 0) for i in range(numbers.get("ZNAXIS", 0))]
    if tiles:
        pixels = abs(numbers.get("ZBITPIX", 8)) // 8 * _product(tiles)
        check_size(pixels, declared, "a compressed image")
    return declared


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product

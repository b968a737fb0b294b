"""Columns as text or numbers, and what stands for none."""

import contextlib

import numpy as np

from kphotoz.errors import InputError

__all__ = ["MISSING", "native", "numbers", "text"]

# What stands in text for a number that is missing.
MISSING = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "--")


def text(column: np.ndarray, what: str) -> np.ndarray:
    """Returns a column as str objects, without the blanks that FITS pads with.

    Args:
        column: (n,) text, bytes, integers, or floats that hold integers; NaN is "".
        what: str. Name of the column for errors.

    Raises:
        InputError: numbers with decimals, or so big that they may be rounded.
    """
    if column.dtype.kind == "f":
        column = _whole(column, what)
    if column.dtype.kind not in "SUOiub":
        raise InputError(
            f"Wanted: text or whole numbers for {what}. Received: {column.dtype}, "
            "which cannot hold long ids exactly."
        )
    cells = (
        cell.decode("utf-8", "replace")
        if isinstance(cell, bytes)
        else ""
        if cell is None
        else str(cell)
        for cell in column.tolist()
    )
    # TFDS keeps text as UTF-8, which lone surrogates do not have.
    clean = [cell.strip().encode("utf-8", "replace").decode() for cell in cells]
    return np.array([*clean, None], object)[:-1]


def _whole(column: np.ndarray, what: str) -> np.ndarray:
    """Returns floats as int objects, None for what is not finite."""
    finite = np.isfinite(column)
    held = column[finite].astype(np.float64)
    # From here on neighbouring whole numbers share one float: 2^53 of float64.
    limit = 2.0 ** min(np.finfo(column.dtype).nmant + 1, 53)
    broken = np.any(held != np.rint(held))
    if broken or np.any(np.abs(held) >= limit):
        values = "broken" if broken else f"too big to be exact from {limit:.0f} up"
        raise InputError(
            f"Wanted: text or whole numbers for {what}. Received: {column.dtype} with "
            f"floats that are {values}, which cannot hold long ids. Write the "
            "column as integers or text."
        )
    whole = np.full(len(column), None, object)
    whole[finite] = held.astype(np.int64)
    return whole


def numbers(column: np.ndarray, what: str, first: int = 0) -> np.ndarray:
    """Returns a column as float64; empty cells and words such as "N/A" are NaN.

    Args:
        column: (n,) numbers, or text that holds numbers.
        what: str. Name of the column for errors.
        first: int. Number of the first row, for errors.

    Raises:
        InputError: a cell is not a number; says which.
    """
    if column.dtype.kind in "fiub":
        with np.errstate(all="ignore"):  # a signalling NaN is a NaN
            return column.astype(np.float64)
    if column.dtype.kind not in "SUO":
        raise InputError(f"Wanted: numbers for {what}. Received: {column.dtype}.")
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return np.array(column.tolist(), np.float64).reshape(len(column))
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, bytes):
            cell = cell.decode("utf-8", "replace")
        if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
            continue
        try:
            values[row] = float(cell)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"Wanted: numbers for {what}. Received: {str(cell)[:40]!r} in row "
                f"{first + row}."
            ) from error
    return values


def native(column: np.ndarray) -> np.ndarray:
    """Returns a column as what its cells are, in native byte order.

    Text of nothing but numbers is numbers, missing ones are NaN; other text is str.

    Args:
        column: (n, …) as a reader of tables gives it.
    """
    if column.dtype.kind == "S":
        column = column.astype(str)
    if column.dtype.kind == "U":
        return np.char.strip(column)
    if column.dtype.kind != "O":
        return column.astype(column.dtype.newbyteorder("="))
    if any(isinstance(cell, str | bytes) for cell in column.flat):
        return _from_text(column)
    try:
        missing = np.equal(column, np.array(None))
        return np.where(missing, np.nan, column).astype(np.float64)
    except (TypeError, ValueError):  # lists, structures
        return column


def _from_text(column: np.ndarray) -> np.ndarray:
    import pyarrow
    from pyarrow import compute

    words = compute.utf8_trim_whitespace(pyarrow.array(column.ravel(), "string"))
    missing = compute.fill_null(compute.is_in(words, pyarrow.array(MISSING)), True)
    known = compute.if_else(missing, None, words)
    for kind in ("int64", "float64", "bool"):
        with contextlib.suppress(pyarrow.ArrowInvalid):
            compute.cast(known[:64], kind)  # which spares most others the whole
            values = compute.cast(known, kind)
            if values.null_count:  # NaN is no whole number, and neither true nor false
                values = compute.cast(values, "float64")
            return values.to_numpy(zero_copy_only=False).reshape(column.shape)
    text = compute.fill_null(words, "").to_numpy(zero_copy_only=False)
    return text.astype(str).reshape(column.shape)

"""Columns as text or numbers."""

import contextlib

import numpy as np

from kphotoz.errors import InputError
from kphotoz.tables import MISSING

__all__ = ["numbers", "text", "without_sentinels"]


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
    if np.any(held != np.rint(held)) or np.any(np.abs(held) >= limit):
        raise InputError(
            f"Wanted: text or whole numbers for {what}. Received: {column.dtype} with "
            f"decimals or from {limit:.0f} up, which cannot hold long ids exactly."
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


def without_sentinels(role: str, values: np.ndarray) -> np.ndarray:
    """Returns magnitudes or redshift errors with NaN for what only stands for none.

    Args:
        role: str. "magnitude" or "redshift_error".
        values: (n,) float64.
    """
    known = np.abs(values) < 90 if role == "magnitude" else values > 0
    return np.where(known, values, np.nan)

"""Tables read whole into arrays by name, without a deep-learning backend."""

import os
from collections.abc import Collection

import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.tables import cells
from kphotoz.tables.formats import open_table
from kphotoz.tables.table import RaggedColumn, Table, two_of_one_name

__all__ = ["column", "read_table"]


def read_table(
    path: str | os.PathLike, *, text: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Returns the columns of a CSV, TSV, ECSV, FITS or parquet file, by name.

    The format is told from the first bytes, not from the suffix. Numbers come in native
    byte order, missing ones as NaN, text as str. A FITS file gives its first table.

    Args:
        path: a file; FITS, CSV and TSV may be gzipped.
        text: names of columns to give as text whatever they hold, digit by digit:
            identifiers of 19 digits do not survive as float64 [default: none].

    Raises:
        InputError: the file is missing, cut short, empty, of another format, or two of
            its columns share a name; a `text` column holds numbers already rounded.
    """
    table = open_table(path)
    names = [name.strip() for name in table.names]
    if len(set(names)) < len(names):
        raise two_of_one_name(table.path, names)
    held = _read(table)
    if not held or not len(next(iter(held.values()))):
        raise InputError(
            f"Wanted: a table with at least one row. Received: {path}, "
            f"{len(held)} columns and no row."
        )
    columns = {}
    for name, values in zip(names, held.values(), strict=True):
        what = f"column {name!r} of {path}"
        columns[name] = _as_text(values, what) if name in text else cells.native(values)
    return columns


def _read(table: Table) -> dict[str, np.ndarray]:
    try:
        return table.read(table.names)
    except RaggedColumn:  # which may be none that anybody wants
        return {name: _or_none(table, name) for name in table.names}


def _or_none(table: Table, name: str) -> np.ndarray:
    try:
        return table.read([name])[name]
    except RaggedColumn:
        return np.empty((table.count(), 0))


def _as_text(values: np.ndarray, what: str) -> np.ndarray:
    column = cells.text(values, what).astype(str)
    column[np.isin(column, cells.MISSING)] = ""
    return column


def column(
    columns: dict[str, np.ndarray], name: str, *, numeric: bool = False
) -> np.ndarray:
    """Returns the column `name`, as float64 if `numeric`.

    Raises:
        InputError: there is no such column, or it does not hold one number a row.
    """
    if name not in columns:
        raise unknown("column", name, columns)
    values = columns[name]
    if not numeric:
        return values
    if values.ndim != 1 or values.dtype.kind not in "fiub":
        held = "text" if values.ndim == 1 else f"{values.shape[1:]} values a row"
        raise InputError(
            f"Wanted: one number a row in column {name!r}. Received: {held}. "
            "Name another column."
        )
    return values.astype(np.float64)

"""Reads a table of any usual format into arrays, without a deep-learning backend."""

import os
import pathlib
import warnings
from collections.abc import Collection

import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_checked, open_plain, stored_nulls

__all__ = ["MISSING", "column", "read_table"]

# What stands in text for a number that is missing.
MISSING = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "--")


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
    path = pathlib.Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(80)
    except OSError as error:
        raise InputError(
            f"Wanted: a table to read. Received: {path} ({error.strerror}). "
            "Check the path."
        ) from error
    columns = _reader(path, head)(path, frozenset(text))
    if not columns or not len(next(iter(columns.values()))):
        raise InputError(
            f"Wanted: a table with at least one row. Received: {path}, "
            f"{len(columns)} columns and no row."
        )
    return columns


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


def _reader(path: pathlib.Path, head: bytes):
    if head.startswith(b"PAR1"):
        return _read_parquet
    if head.startswith(b"SIMPLE  ="):
        return _read_fits
    if head.startswith(b"\x1f\x8b"):
        return _read_fits if ".fit" in path.name.lower() else _read_csv
    if head.startswith(b"# %ECSV"):
        return _read_ecsv
    if b"\0" in head:
        raise InputError(
            "Wanted: a CSV, ECSV, FITS or parquet table. "
            f"Received: {path}, which begins with {head[:8]!r}. Convert it."
        )
    return _read_csv


def _read_parquet(path: pathlib.Path, text: frozenset[str]) -> dict[str, np.ndarray]:
    from pyarrow import parquet

    with damaged(path, "a whole parquet table"):
        # One file: a folder name such as `seed=3` above it must not become a column.
        return _from_arrow(parquet.ParquetFile(path).read(), path, text)


def _read_csv(path: pathlib.Path, text: frozenset[str]) -> dict[str, np.ndarray]:
    import pyarrow
    from pyarrow import csv

    tabs = ".tsv" in path.name.lower()
    options = csv.ParseOptions(delimiter="\t" if tabs else ",")
    convert = csv.ConvertOptions(
        null_values=MISSING,
        strings_can_be_null=False,
        column_types=dict.fromkeys(text, pyarrow.string()),
    )
    kind = f"a whole {'TSV' if tabs else 'CSV'} table"
    # From a path pyarrow would unpack what its suffix names, without a limit.
    with damaged(path, kind), open_plain(path) as file:
        table = csv.read_csv(file, parse_options=options, convert_options=convert)
        header = table.column_names
    if len(header) == 1 and len(header[0].split()) > 1:
        raise InputError(
            "Wanted: columns separated by commas (or tabs, in a .tsv). "
            f"Received: {path} with the header {header[0]!r}. Convert it."
        )
    columns = _from_arrow(table, path, text)
    for name in text & columns.keys():  # of which pyarrow takes no word for missing
        columns[name][np.isin(columns[name], MISSING)] = ""
    return columns


def _from_arrow(
    table, path: pathlib.Path, text: frozenset[str]
) -> dict[str, np.ndarray]:
    import pyarrow as pa

    names = [name.strip() for name in table.column_names]
    _check_unique(names, path)
    columns = {}
    for name, values in zip(names, table.columns, strict=True):
        kind = values.type
        if pa.types.is_dictionary(kind):
            values = values.cast(kind.value_type)
        if pa.types.is_decimal(kind):
            values = values.cast(pa.float64())
        if name in text and not pa.types.is_floating(kind):
            found = values.cast(pa.string()).fill_null("").to_numpy()
            columns[name] = np.char.strip(found.astype(str))
            continue
        if pa.types.is_null(kind):
            columns[name] = np.full(len(values), np.nan)
            continue
        array = values.to_numpy()
        if array.dtype == object and pa.types.is_boolean(values.type):
            array = np.array([np.nan if v is None else v for v in array], np.float64)
        elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            array = np.array(["" if v is None else v for v in array], dtype=str)
        columns[name] = _as_text(array, name, path) if name in text else array
    return columns


def _read_fits(path: pathlib.Path, text: frozenset[str]) -> dict[str, np.ndarray]:
    from astropy.io import fits

    with damaged(path, "a whole FITS table"), warnings.catch_warnings():
        # astropy tells of a truncated file by a warning only; its others are about
        # style, and no reason to refuse a table.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*truncated.*")
        with open_checked(path) as file, fits.open(file, memmap=False) as parts:
            found = [part for part in parts if isinstance(part, _table_kinds())]
            if not found:
                raise InputError(
                    f"Wanted: a FITS file with a table. Received: {path}, "
                    f"{len(parts)} extensions and none a table."
                )
            names = list(found[0].columns.names)
            _check_unique(names, path)
            data = found[0].data
            return {
                name: _cell(_without_nulls(data, name), name, path, text)
                for name in names
            }


def _without_nulls(rows, name: str) -> np.ndarray:
    values = np.asarray(rows[name])
    missing = stored_nulls(rows, name, values)
    return values if missing is None else np.ma.array(values, mask=missing)


def _table_kinds() -> tuple[type, ...]:
    from astropy.io import fits

    return (fits.BinTableHDU, fits.TableHDU)


def _read_ecsv(path: pathlib.Path, text: frozenset[str]) -> dict[str, np.ndarray]:
    from astropy.io import ascii as ascii_tables

    with damaged(path, "a whole ECSV table"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = ascii_tables.read(path, format="ecsv")
    return {name: _cell(table[name], name, path, text) for name in table.colnames}


def _cell(values, name: str, path: pathlib.Path, text: frozenset[str]) -> np.ndarray:
    return _as_text(values, name, path) if name in text else _native(values)


def _as_text(values, name: str, path: pathlib.Path) -> np.ndarray:
    """Returns whole numbers and text as text, missing values as ""."""
    mask = np.ma.getmaskarray(values)
    values = np.asarray(values)
    if values.dtype.kind == "f":
        mask = mask | ~np.isfinite(values)
        whole = np.where(mask, 0.0, values)
        # Above 2^53 neighbouring whole numbers share one float64.
        if np.any(whole != np.rint(whole)) or np.any(np.abs(whole) >= 2.0**53):
            raise InputError(
                f"Wanted: whole numbers or text in column {name!r}. Received: {path} "
                "with floats that are broken, or too big to be exact. Write the "
                "column as integers or text."
            )
        values = whole.astype(np.int64)
    found = np.char.strip(values.astype(str))
    found[mask] = ""
    return found


def _native(values) -> np.ndarray:
    if np.ma.isMaskedArray(values):
        fill = np.nan if values.dtype.kind in "fiub" else ""
        kind = np.float64 if values.dtype.kind in "iub" else values.dtype
        values = values.astype(kind).filled(fill)
    values = np.asarray(values)
    if values.dtype.kind in "SU":
        return np.char.strip(values.astype(str))
    return values.astype(values.dtype.newbyteorder("="))


def _check_unique(names: list[str], path: pathlib.Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"Wanted: columns of different names. Received: {path} with two of "
            f"{', '.join(map(repr, twice))}. Rename one."
        )

"""Tables in CSV, FITS or parquet, a column at a time."""

import contextlib
import csv
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kphotoz.data.readers.source import damaged, no_such_key
from kphotoz.errors import InputError

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["SUFFIXES", "open_fits", "read_table"]

SUFFIXES = (".csv", ".fits", ".fit", ".parquet")


def read_table(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the columns of a table in file order; CSV columns are text.

    Args:
        path: path. The suffix tells the format.

    Raises:
        InputError: it is missing, damaged or of another format.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    readers |= {".fits": _read_fits, ".fit": _read_fits}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise InputError(
            f"Wanted: a table in {', '.join(SUFFIXES)}. Received: {path}. Convert it."
        )
    with damaged(path, f"a table ({suffix[1:]})"):
        return readers[suffix](path)


def _read_csv(path: pathlib.Path) -> dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            rows = [row for row in csv.reader(file, strict=True) if row]
        except csv.Error as error:
            raise ValueError(str(error)) from error
    if not rows:
        raise ValueError("it is empty")
    header, body = [name.strip() for name in rows[0]], rows[1:]
    for number, row in enumerate(body):
        if len(row) != len(header):
            raise ValueError(
                f"row {number} has {len(row)} cells for {len(header)} columns"
            )
    if len(set(header)) != len(header):
        raise ValueError("two columns have the same name")
    cells = np.array(body, object).reshape(len(body), len(header))
    return {name: cells[:, index] for index, name in enumerate(header)}


def _read_parquet(path: pathlib.Path) -> dict[str, np.ndarray]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        names = table.column_names
        return {name: _arrow_column(table.column(name)) for name in names}
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def _arrow_column(chunked: Any) -> np.ndarray:
    import pyarrow

    column = chunked.combine_chunks()
    if not pyarrow.types.is_fixed_size_list(column.type):
        return column.to_numpy(zero_copy_only=False)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size)


def _read_fits(path: pathlib.Path) -> dict[str, np.ndarray]:
    with open_fits(path) as file:
        for hdu in file:
            if hasattr(hdu, "columns"):
                data = hdu.data
                return {name: np.array(data[name]) for name in data.names}
    raise no_such_key(path, "a table extension", [])


@contextlib.contextmanager
def open_fits(path: pathlib.Path) -> "Iterator[fits.HDUList]":
    """Opens a FITS file; what astropy only warns of is an error.

    Args:
        path: path of the file.

    Raises:
        ValueError, OSError, …: it is damaged; for `damaged` to tell.
    """
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyWarning)
            # astropy forgets to close what it opened itself and could not read.
            with open(path, "rb") as stream, fits.open(stream, memmap=False) as file:
                yield file
    except fits.VerifyError as error:
        raise ValueError(str(error)) from error

"""Tables in CSV, FITS or parquet, a column at a time."""

import csv
import pathlib
import warnings

import numpy as np

from kphotoz.data.readers.source import damaged, no_such_key
from kphotoz.errors import InputError

__all__ = ["SUFFIXES", "read_table"]

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
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if pyarrow.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            flat = column.flatten().to_numpy(zero_copy_only=False)
            columns[name] = flat.reshape(len(column), width)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns


def _read_fits(path: pathlib.Path) -> dict[str, np.ndarray]:
    from astropy.io import fits
    from astropy.utils.exceptions import AstropyWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", AstropyWarning)
        # astropy forgets to close what it opened itself and could not read.
        with open(path, "rb") as stream, fits.open(stream, memmap=False) as file:
            for hdu in file:
                if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
                    data = hdu.data
                    return {name: np.array(data[name]) for name in data.names}
    raise no_such_key(path, "a table extension", [])

"""Which reader a table has: told from its first bytes, not from its name."""

import os
import pathlib

from kphotoz.errors import InputError
from kphotoz.tables.fits_table import FITSTable
from kphotoz.tables.parquet_table import ParquetTable
from kphotoz.tables.table import Table
from kphotoz.tables.text_table import CSVTable, ECSVTable, TSVTable
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_plain

__all__ = ["SUFFIXES", "open_table"]

# Of the files that are tables where other files lie beside them.
SUFFIXES = (".csv", ".tsv", ".ecsv", ".fits", ".fit", ".parquet")
_GZIP = b"\x1f\x8b"


def open_table(path: str | os.PathLike) -> Table:
    """Returns a table; its columns are read later.

    Args:
        path: of a CSV, TSV, ECSV, FITS or parquet file; CSV, TSV and FITS may be
            gzipped. Tabs part the cells where the name has .tsv in it.

    Raises:
        InputError: it is missing, damaged or of another format.
    """
    path = pathlib.Path(path)
    head = _head(path)
    if head.startswith(b"PAR1"):
        return ParquetTable(path)
    if head.startswith(b"SIMPLE  ="):
        return FITSTable(path)
    if head.startswith(b"# %ECSV"):
        return ECSVTable(path)
    if b"\0" in head:
        raise InputError(
            "Wanted: a CSV, TSV, ECSV, FITS or parquet table. "
            f"Received: {path}, which begins with {head[:8]!r}. Convert it."
        )
    return (TSVTable if ".tsv" in path.name.lower() else CSVTable)(path)


def _head(path: pathlib.Path) -> bytes:
    try:
        with open(path, "rb") as file:
            head = file.read(80)
    except OSError as error:
        raise InputError(
            f"Wanted: a table to read. Received: {path} ({error.strerror}). "
            "Check the path."
        ) from error
    if not head.startswith(_GZIP):
        return head
    with damaged(path, "a whole table"), open_plain(path) as file:
        return file.read(80)

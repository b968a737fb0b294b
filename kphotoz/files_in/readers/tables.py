"""Tables in CSV, TSV, ECSV, FITS or parquet; CSV, TSV and FITS may be gzipped."""

import pathlib

from kphotoz.errors import InputError
from kphotoz.files_in.readers.fits_table import FITSTable
from kphotoz.files_in.readers.parquet_table import ParquetTable
from kphotoz.files_in.readers.table import Table
from kphotoz.files_in.readers.text_table import CSVTable, ECSVTable, TSVTable

__all__ = ["SUFFIXES", "open_table"]

_KINDS: dict[str, type[Table]] = {
    ".csv": CSVTable,
    ".tsv": TSVTable,
    ".ecsv": ECSVTable,
    ".fits": FITSTable,
    ".fit": FITSTable,
    ".parquet": ParquetTable,
}
_PACKED = {
    f"{suffix}.gz": _KINDS[suffix] for suffix in (".csv", ".tsv", ".fits", ".fit")
}
SUFFIXES = tuple(_KINDS)


def open_table(path: pathlib.Path) -> Table:
    """Returns a table; its columns are read later.

    Args:
        path: path. The suffix tells the format.

    Raises:
        InputError: it is missing, damaged or of another format.
    """
    name = path.name.lower()
    for suffix, kind in (_KINDS | _PACKED).items():
        if name.endswith(suffix):
            return kind(path)
    raise InputError(
        f"Wanted: a table in {', '.join(SUFFIXES)}. Received: {path}. Convert it."
    )

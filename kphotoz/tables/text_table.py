"""Tables in text: CSV and TSV in blocks of rows, ECSV whole."""

import csv
import io
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from kphotoz.errors import InputError
from kphotoz.tables.table import Block, Table, two_of_one_name
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_plain

__all__ = ["CSVTable", "ECSVTable", "TSVTable"]

_ECSV = b"# %ECSV"


class CSVTable(Table):
    """Cells separated by commas under one line of names; all columns are text.

    The file may be gzipped.
    """

    delimiter = ","
    _kind = "a whole CSV table"

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        with damaged(path, self._kind):
            self._header = self._first_row()
        self.names = [name.strip() for name in self._header]
        if len(set(self.names)) != len(self.names):
            raise two_of_one_name(path, self.names)
        if len(self.names) == 1 and len(self.names[0].split()) > 1:
            raise InputError(
                "Wanted: columns separated by commas (or tabs, in a .tsv). "
                f"Received: {path} with the header {self.names[0]!r}. Convert it."
            )

    def _first_row(self) -> list[str]:
        packed = open_plain(self.path)
        with io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True, delimiter=self.delimiter):
                if row:
                    return row
        raise ValueError("it is empty")

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        before = 0
        # From a path pyarrow would unpack what its suffix names, without a limit.
        with damaged(self.path, self._kind), open_plain(self.path) as file:
            for batch in self._open(file, names):
                # Where a row begins only reading tells.
                rows = batch.slice(max(0, start - before))
                before += batch.num_rows
                if rows.num_rows:
                    columns = (
                        rows.column(self._header[self.names.index(name)])
                        for name in names
                    )
                    cells = (x.to_numpy(zero_copy_only=False) for x in columns)
                    yield rows.num_rows, dict(zip(names, cells, strict=True))

    def _open(self, file: BinaryIO, names: Sequence[str]) -> Any:
        import pyarrow
        from pyarrow import csv as arrow_csv

        held = [self._header[self.names.index(name)] for name in names]
        held = held or self._header[:1]  # none would be all
        return arrow_csv.open_csv(
            file,
            parse_options=arrow_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=held,
                column_types=dict.fromkeys(self._header, pyarrow.string()),
                strings_can_be_null=False,
            ),
        )


class TSVTable(CSVTable):
    """Cells separated by tabs."""

    delimiter = "\t"
    _kind = "a whole TSV table"


class ECSVTable(Table):
    """A table as astropy writes it, with types; it is read whole."""

    def __init__(self, path: pathlib.Path) -> None:
        from astropy.table import Table as AstropyTable

        self.path = path
        with damaged(path, "a whole ECSV table"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of style
            _check_plain(path)
            table = AstropyTable.read(path, format="ascii.ecsv")
            self.names = list(table.colnames)
            self._columns = {name: _plain(table[name]) for name in self.names}
            self._count = len(table)

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        for first in range(start, self.count(), size):
            rows = slice(first, first + size)
            columns = {name: self._columns[name][rows] for name in names}
            yield min(size, self.count() - first), columns


def _check_plain(path: pathlib.Path) -> None:
    """Raises where astropy might unpack, whole and without a limit."""
    with open(path, "rb") as file:
        head = file.read(len(_ECSV))
    if head != _ECSV:
        raise ValueError(f"it begins with {head!r}, ECSV with {_ECSV!r}")


def _plain(column: np.ndarray) -> np.ndarray:
    mask = getattr(column, "mask", None)
    values = np.array(getattr(column, "data", column))
    if mask is None or not np.any(mask):
        return values
    values = values.astype(object)
    values[np.asarray(mask)] = None
    return values

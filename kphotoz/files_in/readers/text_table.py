"""Tables in text: CSV and TSV row by row, ECSV whole."""

import csv
import io
import pathlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from kphotoz.files_in.readers.table import Block, Table
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_plain

__all__ = ["CSVTable", "ECSVTable", "TSVTable"]

_ECSV = b"# %ECSV"


class CSVTable(Table):
    """Cells separated by commas under one line of names; all columns are text.

    The file may be gzipped.
    """

    delimiter = ","

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        with damaged(path, f"a table ({path.suffix[1:]})"):
            header = next(self._rows(), None)
            if header is None:
                raise ValueError("it is empty")
            self.names = [name.strip() for name in header]
            if len(set(self.names)) != len(self.names):
                raise ValueError("two columns have the same name")

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        places = [self.names.index(name) for name in names]
        with damaged(self.path, f"a table ({self.path.suffix[1:]})"):
            rows, held = self._rows(), []
            next(rows, None)
            for number, row in enumerate(rows):
                if len(row) != len(self.names):
                    raise ValueError(
                        f"row {number} has {len(row)} cells for "
                        f"{len(self.names)} columns"
                    )
                if number < start:
                    continue  # where a row begins only reading tells
                held.append(row)
                if len(held) == size:
                    yield self._block(names, places, held)
                    held = []
            if held:
                yield self._block(names, places, held)

    def _rows(self) -> Iterator[list[str]]:
        packed = open_plain(self.path)
        with io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file:
            for row in csv.reader(file, strict=True, delimiter=self.delimiter):
                if row:
                    yield row

    def _block(
        self, names: Sequence[str], places: list[int], rows: list[list[str]]
    ) -> Block:
        columns = {}
        for name, place in zip(names, places, strict=True):
            columns[name] = np.array([row[place] for row in rows], object)
        return len(rows), columns


class TSVTable(CSVTable):
    """Cells separated by tabs."""

    delimiter = "\t"


class ECSVTable(Table):
    """A table as astropy writes it, with types; it is read whole."""

    def __init__(self, path: pathlib.Path) -> None:
        from astropy.table import Table as AstropyTable
        from astropy.utils.exceptions import AstropyWarning

        self.path = path
        with damaged(path, "a table (ecsv)"), warnings.catch_warnings():
            warnings.simplefilter("error", AstropyWarning)
            _check_plain(path)
            table = AstropyTable.read(path, format="ascii.ecsv")
            self.names = list(table.colnames)
            self._columns = {name: _plain(table[name]) for name in self.names}
            self._count = len(table)

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        for first in range(start, self._count, size):
            rows = slice(first, first + size)
            columns = {name: self._columns[name][rows] for name in names}
            yield min(size, self._count - first), columns


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

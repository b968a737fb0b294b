"""Tables in FITS, read in slices of rows."""

import contextlib
import io
import pathlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kphotoz.errors import InputError
from kphotoz.tables.table import Block, Table, equal_lists
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_checked, stored_nulls

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["FITSTable", "open_fits"]

_KIND = "a whole FITS table"


class FITSTable(Table):
    """The first table extension of a FITS file. Numbers stored as TNULL are missing."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        with self._open() as data:
            self.names = list(data.names)
            self._count = len(data)

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        with self._open() as data:
            for first in range(start, self.count(), size):
                rows = data[first : first + size]
                columns = {name: self._column(rows, name) for name in names}
                yield len(rows), columns

    @contextlib.contextmanager
    def _open(self) -> "Iterator[fits.FITS_rec]":
        with damaged(self.path, _KIND), open_fits(self.path, memmap=True) as file:
            for hdu in file:
                if hasattr(hdu, "columns"):
                    yield hdu.data
                    return
            raise InputError(
                f"Wanted: a FITS file with a table. Received: {self.path}, "
                f"{len(file)} extensions and none a table."
            )

    def _column(self, rows: "fits.FITS_rec", name: str) -> np.ndarray:
        column = np.array(rows[name])
        if column.dtype.kind == "O":  # arrays of any length
            lengths = np.array([np.size(item) for item in column], int)
            width = equal_lists(self.path, name, lengths)
            return np.array([*column]).reshape(len(column), width)
        missing = stored_nulls(rows, name, column)
        if missing is not None:
            whole = column.dtype.kind in "iu"
            column = column.astype(object if whole else float)
            column[missing] = None if whole else np.nan
        return column


@contextlib.contextmanager
def open_fits(path: pathlib.Path, memmap: bool = False) -> "Iterator[fits.HDUList]":
    """Opens a FITS file; one that is cut short is refused, which astropy only warns of.

    Its other warnings are about style, and no reason to refuse a file.

    Args:
        path: path of the file.
        memmap: bool. Read from the disk what is asked for, not the whole.

    Raises:
        ValueError, OSError, …: it is damaged; for `damaged` to tell.
    """
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message=".*truncated.*")
        # astropy forgets to close what it opened itself and could not read.
        with open_checked(path) as stream:
            memmap = memmap and not isinstance(stream, io.BytesIO)
            with fits.open(stream, memmap=memmap) as file:
                yield file

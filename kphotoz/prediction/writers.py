"""Tables written piece by piece in parquet, FITS or CSV."""

import abc
import csv
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.untrusted import damaged
from kphotoz.untrusted.fits_files import open_checked

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FORMATS", "Writer", "open_writer", "origin_of", "parquet_schema"]

_ORIGIN = "KPHOTOZ"  # the entry of a file's own header


class Writer(abc.ABC):
    """Writes a table of known columns in pieces.

    Args:
        path: path. Where to write.
        kinds: dict of column name to "text", "int64", "float32" or "float64".
        count: int. Rows in all pieces together.
        widths: dict of text column name to its longest text in bytes.
        origin: str. What the file says of its origin where the format has a place.
    """

    def __init__(
        self,
        path: pathlib.Path,
        kinds: dict[str, str],
        count: int,
        widths: dict[str, int],
        origin: str,
    ) -> None:
        self.path, self.kinds, self.count, self.widths = path, kinds, count, widths
        self.origin = origin
        self._start()

    @abc.abstractmethod
    def write(self, columns: dict[str, np.ndarray]) -> None:
        """Appends rows.

        Args:
            columns: dict of column name to (m,) array.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Finishes the file."""

    @staticmethod
    @abc.abstractmethod
    def origin_of(path: pathlib.Path) -> tuple[str, int]:
        """Returns what a file says of its origin, "" for nothing, and its rows."""

    @abc.abstractmethod
    def _start(self) -> None:
        """Opens the file."""


class _CSVWriter(Writer):
    def _start(self) -> None:
        self._file = open(self.path, "w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(self.kinds)

    def write(self, columns: dict[str, np.ndarray]) -> None:
        # str of a numpy number is the shortest text that reads back to the same bits.
        cells = [map(str, columns[name]) for name in self.kinds]
        self._rows.writerows(zip(*cells, strict=True))

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def origin_of(path: pathlib.Path) -> tuple[str, int]:
        return "", 0


class _ParquetWriter(Writer):
    def _start(self) -> None:
        import pyarrow
        from pyarrow import parquet

        self._table = pyarrow.table
        said = {_ORIGIN: self.origin} if self.origin else None
        self._schema = parquet_schema(self.kinds).with_metadata(said)
        self._file = parquet.ParquetWriter(self.path, self._schema)

    def write(self, columns: dict[str, np.ndarray]) -> None:
        rows = {name: columns[name] for name in self.kinds}
        self._file.write_table(self._table(rows, schema=self._schema))

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def origin_of(path: pathlib.Path) -> tuple[str, int]:
        from pyarrow import parquet

        with damaged(path, "a whole parquet table"):
            metadata = parquet.read_metadata(path)
        said = (metadata.metadata or {}).get(_ORIGIN.encode(), b"")
        return said.decode(errors="replace"), metadata.num_rows


def parquet_schema(kinds: dict[str, str]) -> "pyarrow.Schema":
    """Returns the schema of a table of predictions.

    Args:
        kinds: dict of column name to "text", "int64", "float32" or "float64".
    """
    import pyarrow

    types = {"text": pyarrow.string()}
    return pyarrow.schema(
        [
            (name, types.get(kind) or pyarrow.from_numpy_dtype(kind))
            for name, kind in kinds.items()
        ]
    )


class _FITSWriter(Writer):
    def _start(self) -> None:
        from astropy.io import fits

        codes = {
            "int64": ("K", ">i8"),
            "float32": ("E", ">f4"),
            "float64": ("D", ">f8"),
        }
        columns, fields = [], []
        for name, kind in self.kinds.items():
            width = max(1, self.widths.get(name, 1))
            code, dtype = codes.get(kind) or (f"{width}A", f"S{width}")
            columns.append(fits.Column(name=name, format=code))
            fields.append((name, dtype))
        header = fits.BinTableHDU.from_columns(columns, nrows=0).header
        header["NAXIS2"] = self.count
        if self.origin:
            header[_ORIGIN] = self.origin
        self._dtype = np.dtype(fields)
        self._file = fits.StreamingHDU(self.path, header)

    def write(self, columns: dict[str, np.ndarray]) -> None:
        rows = np.zeros(len(next(iter(columns.values()))), self._dtype)
        for name, kind in self.kinds.items():
            values = columns[name]
            rows[name] = [ascii_bytes(x) for x in values] if kind == "text" else values
        if len(rows):
            self._file.write(rows.view(np.uint8))

    def close(self) -> None:
        self._file.close()

    @staticmethod
    def origin_of(path: pathlib.Path) -> tuple[str, int]:
        from astropy.io import fits

        with (
            damaged(path, "a whole FITS table"),
            open_checked(path) as file,
            fits.open(file, memmap=False) as parts,
        ):
            header = parts[1].header
            return str(header.get(_ORIGIN, "")), int(header["NAXIS2"])


# Suffix of a file -> its writer.
FORMATS: dict[str, type[_ParquetWriter] | type[_FITSWriter] | type[_CSVWriter]] = {
    ".parquet": _ParquetWriter,
    ".fits": _FITSWriter,
    ".csv": _CSVWriter,
}


def ascii_bytes(text: str) -> bytes:
    """Returns text as FITS can hold it: ASCII, other letters as escapes."""
    return text.encode("ascii", "backslashreplace")


def open_writer(
    path: pathlib.Path,
    kinds: dict[str, str],
    count: int,
    widths: dict[str, int],
    origin: str = "",
) -> Writer:
    """Returns the writer for a path's suffix.

    Args:
        path: path. `.parquet`, `.fits` or `.csv`.
        kinds: dict of column name to "text", "int64", "float32" or "float64".
        count: int. Rows in all pieces together.
        widths: dict of text column name to its longest text in bytes.
        origin: str. ASCII. What the file says of its origin; CSV has no place for it.

    Raises:
        InputError: another suffix.
    """
    if path.suffix.lower() not in FORMATS:
        raise unknown("format of predictions", path.suffix, FORMATS)
    return FORMATS[path.suffix.lower()](path, kinds, count, widths, origin)


def origin_of(path: pathlib.Path) -> tuple[str, int]:
    """Returns what a file of predictions says of its origin, and its number of rows.

    Args:
        path: path. There or not, ours or not, whole or not.

    Returns:
        str, int. "" and 0 where there is no such file, or it says nothing.
    """
    try:
        return FORMATS[path.suffix.lower()].origin_of(path)
    except InputError:
        return "", 0

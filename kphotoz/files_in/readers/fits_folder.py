"""A folder of FITS cutouts with a table: one cube or one image per band and object."""

import pathlib
import re

import numpy as np

from kphotoz.errors import InputError
from kphotoz.files_in.readers.source import Source, band_names, no_such_key
from kphotoz.tables import open_table
from kphotoz.tables.fits_table import open_fits
from kphotoz.untrusted import damaged

__all__ = ["FITSFolderSource"]

_KIND = "a FITS cutout"
_TABLE_NAMES = ("table", "catalog", "catalogue")
_FITS = (".fits", ".fit")
_FIELD = re.compile(r"\{([^{}]*)\}")


class FITSFolderSource(Source):
    """A folder with a table and the FITS files that the table names.

    A cutout is a cube in one extension, or one two-dimensional extension per band
    (EXTNAME is the band). An image key with braces, such as "{id}-{band}.fits", names
    one file per band instead of a column. A header keyword BANDS names the bands.

    Args:
        path: path of the folder.
        table: str or None. Name of the table. [default: the only .csv or .parquet, or
            a table.fits or catalog(ue).fits]
        bands: tuple of str or None. Needed for an image key with "{band}".
    """

    def __init__(
        self, path: pathlib.Path, table: str | None, bands: tuple[str, ...] | None
    ) -> None:
        self.path = path
        self._given = bands
        self._table = open_table(path / table if table else _find_table(path))
        self.columns = list(self._table.names)

    def column(self, name: str) -> np.ndarray:
        """Returns a column of the table."""
        if name not in self.columns:
            raise no_such_key(self.path, name, self.columns)
        return self._table.read([name])[name]

    def open_images(self, key: str) -> None:
        """Finds the first cutout that can be read; its shape is everyone's."""
        rows = self._table.count()
        self._files = self._pattern(key, rows) if "{" in key else self._named(key)
        self.layout = None
        for files in self._files:
            image, self.bands, self.layout = _read_cutout(self.path, files)
            if image is not None:
                self.shape = (rows, *image.shape)
                return
        raise InputError(
            f"Wanted: FITS cutouts in {self.path}. Received: none of {rows} that can "
            f"be read. Does {key!r} hold their names?"
        )

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns cutouts start..stop - 1, zeros and a flag where there is none."""
        files = self._files[start:stop]
        images = np.zeros((len(files), *self.shape[1:]), np.float64)
        flags = np.full(len(files), "", object)
        for row, names in enumerate(files):
            image, bands, layout = _read_cutout(self.path, names)
            if image is None:
                flags[row] = layout
            elif image.shape != self.shape[1:]:
                flags[row] = "wrong_shape"
            elif bands != self.bands:
                flags[row] = "wrong_bands"
            else:
                with np.errstate(all="ignore"):  # what overflows is flagged later
                    images[row] = image
        return images, flags

    def close(self) -> None:
        """Does nothing: each cutout is closed once it is read."""

    def _named(self, key: str) -> list[list[str]]:
        return [[_text(name)] for name in self.column(key)]

    def _pattern(self, key: str, rows: int) -> list[list[str]]:
        bands = self._given or ()
        if "{band}" in key and not bands:
            raise InputError(
                f"Wanted: band names for the files {key!r}. Received: none. "
                "Give --bands."
            )
        wanted = {*_FIELD.findall(key)} - {"band"}
        named = {name: self.column(name) for name in sorted(wanted)}
        files = []
        with damaged(self.path, f"columns for the names in {key!r}"):
            for row in range(rows):
                cells = {name: _text(cells[row]) for name, cells in named.items()}
                files.append(
                    [_filled(key, cells | {"band": band}) for band in bands]
                    if "{band}" in key
                    else [_filled(key, cells)]
                )
        return files


def _filled(key: str, cells: dict[str, str]) -> str:
    """Returns the key with {NAME} replaced; no more of str.format, which can do a lot.

    `{id:9999999999}` would fill the memory, `{id.__class__}` look into our own.
    """
    return _FIELD.sub(lambda match: cells[match[1]], key)


def _text(cell: object) -> str:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def _find_table(path: pathlib.Path) -> pathlib.Path:
    with damaged(path, "a folder of FITS cutouts"):
        items = sorted(path.iterdir())
    tables = sorted(
        item
        for item in items
        if item.suffix.lower() in (".csv", ".parquet")
        or (item.suffix.lower() in _FITS and item.stem.lower() in _TABLE_NAMES)
    )
    if len(tables) != 1:
        names = ", ".join(item.name for item in tables) or "none"
        raise InputError(
            f"Wanted: one table in {path}. Received: {names}. Name it with --table."
        )
    return tables[0]


def _read_cutout(
    folder: pathlib.Path, names: list[str]
) -> tuple[np.ndarray | None, tuple[str, ...] | None, str | None]:
    """Returns image, bands and layout; or None, None and a flag."""
    planes = []
    for name in names:
        try:
            with damaged(folder / name, _KIND):
                if (folder / name).exists() and not (folder / name).is_file():
                    raise ValueError("it is no file")  # a device or a pipe: no end
                planes.append(_read_file(folder / name))
        except InputError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            return None, None, "missing_image" if missing else "unreadable_image"
    if len(planes) == 1:
        image, found, layout = planes[0]
        return (image[None], found, "band_first") if image.ndim == 2 else planes[0]
    if len({plane.shape for plane, _, _ in planes}) > 1 or planes[0][0].ndim != 2:
        return None, None, "wrong_shape"
    return np.stack([plane for plane, _, _ in planes]), None, "band_first"


def _read_file(
    path: pathlib.Path,
) -> tuple[np.ndarray, tuple[str, ...] | None, str | None]:
    with open_fits(path) as file:
        planes = [hdu for hdu in file if hdu.is_image and hdu.data is not None]
        arrays = [np.asarray(hdu.data) for hdu in planes]
        headers = [hdu.header for hdu in planes]
        bands = band_names(headers[0].get("BANDS", "")) if headers else None
        names = tuple(str(header.get("EXTNAME", "")) for header in headers)
    if not arrays:
        raise ValueError("no image in it")
    if arrays[0].ndim == 3 or len(arrays) == 1:
        return arrays[0], bands, None
    return np.stack(arrays), names if all(names) else None, "band_first"

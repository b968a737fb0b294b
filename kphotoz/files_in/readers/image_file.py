"""A user's file as its FileSpec describes it: checked, band last, in chunks."""

import pathlib
from collections.abc import Callable

import numpy as np

from kphotoz.data.flags import flag_pixels
from kphotoz.data.stream import Chunks
from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.readers.fits_folder import FITSFolderSource
from kphotoz.files_in.readers.hdf5 import HDF5Source
from kphotoz.files_in.readers.npz import NPZSource
from kphotoz.files_in.readers.source import Source, no_such_key
from kphotoz.files_in.readers.survey_file import SurveyFile

__all__ = ["MIN_SIZE", "ImageFile"]

MIN_SIZE = 16  # pixels; below it the convolutional stems have nothing left; our choice
_SUFFIXES: dict[str, Callable[[pathlib.Path], Source]] = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), HDF5Source),
    ".npz": NPZSource,
}


class ImageFile(SurveyFile):
    """Images and columns of one file.

    Args:
        spec: FileSpec. Where things are and what they mean.

    Attributes:
        size: int [pixel]. Height and width.

    Raises:
        InputError: the file cannot be what the spec says.
    """

    spec: FileSpec
    kind, chunk = "image", 256  # rows at once: our choice

    def __init__(self, spec: FileSpec) -> None:
        self.spec = spec
        self.pixel_scale = spec.declared("pixel_scale")
        self._source = _open(spec)
        try:
            self._source.open_images(self._image_key())
            self._check_shape()
            self.bands = self._check_bands()
            self.zero_point = spec.zero_points(len(self.bands))
            self._band_last = self._find_layout() == "band_last"
            self.size = self._source.shape[2]
            self.input_shape = (self.size, self.size, len(self.bands))
            self._check_size()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return self._source.shape[0]

    def close(self) -> None:
        """Closes the file."""
        self._source.close()

    @property
    def names(self) -> list[str]:
        """The keys that the file has."""
        return self._source.columns

    def chunks(self, size: int, start: int = 0) -> Chunks:
        """Yields images (m, height, width, band) from row `start` on."""
        for first in range(start, len(self), size):
            stop = min(first + size, len(self))
            raw, flags = self._source.read(first, stop)
            if not self._band_last:
                raw = np.moveaxis(raw, 1, -1)
            with np.errstate(over="ignore", invalid="ignore"):
                images = np.ascontiguousarray(raw, np.float32)
            yield first, images, flag_pixels(images, flags)

    def _image_key(self) -> str:
        key = self.key("image")
        if key is None:
            raise no_such_key(self.spec.file, "image", self._source.columns)
        return key

    def _read(self, names: list[str]) -> dict[str, np.ndarray]:
        return {name: self._source.column(name) for name in names}

    def _check_shape(self) -> None:
        shape = self._source.shape
        if len(shape) != 4:
            raise InputError(
                f"Wanted: images of shape (object, band, row, column) or (object, row, "
                f"column, band) in {self.spec.file}. Received: shape {shape}. Map the "
                "images with --key image=NAME."
            )
        if not shape[0]:
            raise InputError(
                f"Wanted: at least one object in {self.spec.file}. Received: none."
            )
        first, _ = self._source.read(0, 1)
        if first.dtype.kind not in "fiu":
            raise InputError(
                f"Wanted: images of real numbers in {self.spec.file}. Received: type "
                f"{first.dtype}."
            )

    def _check_bands(self) -> tuple[str, ...]:
        given, declared = self.spec.bands, self._source.bands
        if declared and len(declared) == 1 and self._is_one_letter_each(declared[0]):
            declared = tuple(declared[0])
        if given is None and declared is None:
            raise InputError(
                f"Wanted: the band names of {self.spec.file}, in its order. Received: "
                "none. Give them with --bands u,g,r,…"
            )
        # FITS writes extension names in capitals, so case cannot tell bands apart here.
        same = [name.lower() for name in declared or ()] == [
            name.lower() for name in given or ()
        ]
        if given and declared and not same:
            raise InputError(
                f"Wanted: bands {','.join(given)} in {self.spec.file}. Received: "
                f"{','.join(declared)}, as the file says. Give the file's own order."
            )
        return tuple(given or declared or ())

    def _is_one_letter_each(self, name: str) -> bool:
        # "ugriz" for five bands, a common habit.
        return len(set(name)) == len(name) in self._source.shape[1::2]

    def _find_layout(self) -> str:
        _, first, second, last = self._source.shape
        count = len(self.bands)
        fits = {
            "band_first": first == count and second == last,
            "band_last": last == count and first == second,
        }
        wanted: str = self.spec.layout
        if wanted == "auto" and self._source.layout:
            wanted = self._source.layout
        if wanted != "auto" and fits[wanted]:
            return wanted
        possible = [name for name, fit in fits.items() if fit]
        if wanted == "auto" and len(possible) == 1:
            return possible[0]
        if wanted == "auto" and possible:
            raise InputError(
                f"Wanted: to know which axis of shape {self._source.shape[1:]} is the "
                "band. Received: --layout auto. Say band_first or band_last."
            )
        raise InputError(
            f"Wanted: square images in {count} bands ({','.join(self.bands)}), "
            f"layout {wanted}. Received: shape {self._source.shape[1:]} in "
            f"{self.spec.file}. Check --bands and --layout, or cut square images."
        )

    def _check_size(self) -> None:
        if self.size < MIN_SIZE:
            raise InputError(
                f"Wanted: images of at least {MIN_SIZE} pixels a side. Received: "
                f"{self.size} in {self.spec.file}. Cut larger ones."
            )


def _open(spec: FileSpec) -> Source:
    path = pathlib.Path(spec.file)
    if path.is_dir():
        return FITSFolderSource(path, spec.table, spec.bands)
    if not path.exists():
        raise InputError(
            f"Wanted: a file of cutouts. Received: {path}, which does not exist. "
            "Check the path."
        )
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(
            f"Wanted: {', '.join(_SUFFIXES)}, or a folder of FITS cutouts with a "
            f"table. Received: {path}. Convert it; for a table of photometry say which "
            "columns are --magnitudes or --fluxes."
        )
    if not path.stat().st_size:
        raise InputError(f"Wanted: a file of cutouts. Received: {path}, of 0 bytes.")
    return _SUFFIXES[path.suffix.lower()](path)

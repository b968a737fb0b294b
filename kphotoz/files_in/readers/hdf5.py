"""HDF5 files: one dataset of images, one per column."""

import pathlib

import h5py
import numpy as np

from kphotoz.files_in.readers.source import Source, band_names, no_such_key
from kphotoz.untrusted import damaged
from kphotoz.untrusted.hdf5_files import check_hdf5

__all__ = ["HDF5Source"]

_KIND = "an HDF5 file of cutouts"


class HDF5Source(Source):
    """An HDF5 file. The attribute `bands` of the images, or of the file, is used.

    Args:
        path: path of the file.

    Raises:
        InputError: it is missing, truncated or not HDF5.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.columns = []
        with damaged(path, _KIND):
            check_hdf5(path)
            self._file = h5py.File(path, "r")
            try:
                self._file.visititems(self._note)
            except BaseException:
                self._file.close()
                raise

    def column(self, name: str) -> np.ndarray:
        """Returns a dataset whole."""
        dataset = self._dataset(name)
        with damaged(self.path, f"numbers or text in {name!r} of an HDF5 file"):
            if dataset.dtype.kind == "O" and h5py.check_string_dtype(dataset.dtype):
                return dataset.asstr(errors="replace")[:]
            return dataset[:]

    def open_images(self, key: str) -> None:
        """Finds the images and their band names."""
        self._images = self._dataset(key)
        with damaged(self.path, _KIND):
            self.shape = tuple(self._images.shape)
            for attributes in (self._images.attrs, self._file.attrs):
                if self.bands is None and "bands" in attributes:
                    self.bands = band_names(attributes["bands"])

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images start..stop - 1 and no flags."""
        with damaged(self.path, _KIND):
            images = self._images[start:stop]
        return images, np.full(len(images), "", object)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _note(self, name: str, item: h5py.HLObject) -> None:
        if isinstance(name, bytes):  # a damaged name that is no text
            name = name.decode("utf-8", "replace")
        if isinstance(item, h5py.Dataset):
            self.columns.append(name)

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self.columns:
            raise no_such_key(self.path, name, self.columns)
        with damaged(self.path, _KIND):
            return self._file[name]

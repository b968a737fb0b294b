"""NPZ files, read as a stream: memory does not grow with the file."""

import math
import pathlib
import sys
import zipfile
from typing import IO, Literal

import numpy as np

from kphotoz.errors import InputError
from kphotoz.files_in.readers.source import Source, band_names, no_such_key
from kphotoz.untrusted import damaged

__all__ = ["NPZSource"]

_KIND = "an NPZ file of cutouts"


class NPZSource(Source):
    """An NPZ file, compressed or not. An array `bands` names the bands.

    Arrays of Python objects are refused: reading them would run code of the file's.

    Args:
        path: path of the file.

    Raises:
        InputError: it is missing, truncated or not NPZ.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._next = 0
        self._stream: IO[bytes] | None = None
        with damaged(path, _KIND):
            self._file = zipfile.ZipFile(path)
        names = self._file.namelist()
        self.columns = [name[:-4] for name in names if name.endswith(".npy")]

    def column(self, name: str) -> np.ndarray:
        """Returns an array whole."""
        with damaged(self.path, _KIND):
            stream, dtype, shape, fortran = self._open(name)
            with stream:
                return _take(stream, dtype, shape, "F" if fortran else "C")

    def open_images(self, key: str) -> None:
        """Finds the images and their band names."""
        if "bands" in self.columns and key != "bands":
            self.bands = band_names(self.column("bands"))
        self._key = key
        with damaged(self.path, _KIND):
            self._rewind()

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images start..stop - 1 and no flags."""
        with damaged(self.path, _KIND):
            if start < self._next:
                self._rewind()
            assert self._stream is not None  # `open_images` came first
            row = self.shape[1:]
            size = math.prod(row) * self._dtype.itemsize
            skip = (start - self._next) * size
            while skip:  # in pieces: nothing that is skipped stays in memory
                skipped = len(self._stream.read(min(skip, 1 << 20)))
                if not skipped:
                    raise EOFError("it ends too early")
                skip -= skipped
            stop = min(stop, self.shape[0])
            images = _take(self._stream, self._dtype, (stop - start, *row), "C")
            self._next = stop
        return images, np.full(len(images), "", object)

    def close(self) -> None:
        """Closes the file."""
        if self._stream is not None:
            self._stream.close()
        self._file.close()

    def _rewind(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._dtype, self.shape, fortran = self._open(self._key)
        self._next = 0
        if fortran and len(self.shape) > 1:
            raise InputError(
                f"Wanted: images in C order, which can be read in pieces. Received: "
                f"Fortran order in {self._key!r} of {self.path}. Save "
                "numpy.ascontiguousarray of it."
            )

    def _open(self, name: str) -> tuple[IO[bytes], np.dtype, tuple[int, ...], bool]:
        if name not in self.columns:
            raise no_such_key(self.path, name, self.columns)
        member = self._file.getinfo(f"{name}.npy")
        stream = self._file.open(member)
        try:
            return stream, *self._header(name, stream, member.file_size)
        except BaseException:
            stream.close()
            raise

    def _header(
        self, name: str, stream: IO[bytes], length: int
    ) -> tuple[np.dtype, tuple[int, ...], bool]:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"{name!r} has the unknown NPY version {version}")
        if dtype.hasobject:
            raise InputError(
                f"Wanted: numbers or text in {name!r} of {self.path}. Received: Python "
                "objects, which are never read. Save it as a plain array."
            )
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + size != length:
            raise ValueError(f"{name!r} has another length than its header says")
        return dtype, tuple(shape), fortran


def _take(
    stream: IO[bytes],
    dtype: np.dtype,
    shape: tuple[int, ...],
    order: Literal["C", "F"],
) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    content = stream.read(size)
    if len(content) != size:
        raise EOFError("it ends too early")
    if dtype.kind == "U":
        characters = np.frombuffer(
            content, np.dtype("u4").newbyteorder(dtype.byteorder)
        )
        if (characters > sys.maxunicode).any():
            raise ValueError("it holds text of what are no characters")
    return np.frombuffer(content, dtype).reshape(shape, order=order)

"""What every reader of images offers."""

import abc
import pathlib

import numpy as np

from kphotoz.errors import InputError

__all__ = ["Source", "no_such_key"]


class Source(abc.ABC):
    """A file with one image array and columns of the same length.

    `columns` are the names that exist, `bands` the band names that the file declares
    or None, `shape` the shape of the image array: (n, …) with three more axes.
    """

    path: pathlib.Path
    columns: list[str]
    bands: tuple[str, ...] | None = None
    shape: tuple[int, ...]
    # Layout where the format itself decides it, for example one band per extension.
    layout: str | None = None

    @abc.abstractmethod
    def column(self, name: str) -> np.ndarray:
        """Returns a column whole, as it is stored.

        Raises:
            InputError: it does not exist or cannot be read.
        """

    @abc.abstractmethod
    def open_images(self, key: str) -> None:
        """Finds the images and sets `shape`, `bands` and `layout`.

        Args:
            key: str. Name of the image array, or of the column with file names.
        """

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images start..stop - 1 as stored and their flags.

        Chunks are asked for in rising order, so that compressed streams can be read.

        Returns:
            (m, a, b, c) numbers; (m,) str objects, "" where the image could be read.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the file."""


def no_such_key(path: pathlib.Path, key: str, columns: list[str]) -> InputError:
    """Returns the error for a key that a file does not have; lists those it has."""
    return InputError(
        f"Wanted: {key!r} in {path}. Received: {', '.join(columns) or 'no keys'}. "
        "Map the right one with --key ROLE=NAME."
    )


def band_names(value: object) -> tuple[str, ...] | None:
    """Returns band names from an attribute: an array of names or text with commas."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split()) or None
    names = np.ravel(np.asarray(value))
    if names.dtype.kind not in "SUO" or not names.size:
        return None
    if names.size == 1:
        return band_names(names[0]) if isinstance(names[0], bytes | str) else None
    return tuple(
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        for name in names.tolist()
    )

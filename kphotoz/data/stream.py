"""Images in chunks from a file or a survey: memory does not grow with the catalogue."""

import abc
import hashlib
from collections.abc import Iterator

import numpy as np

from kphotoz.data.file_spec import FileSpec
from kphotoz.data.readers import ImageFile
from kphotoz.data.readers.columns import flag_pixels
from kphotoz.data.split_store import COLUMNS, SplitStore
from kphotoz.data.survey import build_survey, find_builder, survey_info
from kphotoz.data.survey_info import SPLITS
from kphotoz.errors import unknown

__all__ = ["Stream", "open_stream"]


class Stream(abc.ABC):
    """Rows of a file or a survey in fixed order.

    Attributes:
        name: str. What is read.
        bands: tuple of str. Band names in the order of the last axis.
        pixel_scale: float [arcsec] or None where unknown.
        size: int [pixel]. Height and width.
        table: dict of str to (n,) arrays. `id` and the labels that there are.
    """

    name: str
    bands: tuple[str, ...]
    pixel_scale: float | None
    size: int
    table: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.table["id"])

    @abc.abstractmethod
    def chunks(
        self, size: int, start: int = 0
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields (first row, images, flags) in row order.

        Args:
            size: int > 0. Rows in a chunk; the last may be shorter.
            start: int. Row to begin with.

        Yields:
            int; (m, height, width, band) float32; (m,) str, "" for a usable image.
        """

    @abc.abstractmethod
    def digest(self) -> str:
        """Returns a hash of the content, in hexadecimal."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes what is open."""


class _FileStream(Stream):
    def __init__(self, spec: FileSpec) -> None:
        self._file = ImageFile(spec)
        self.name = str(spec.file)
        self.bands, self.size = self._file.bands, self._file.size
        self.pixel_scale = self._file.pixel_scale
        positions = ("ra", "dec")
        try:
            table = self._file.table
        except BaseException:
            self.close()
            raise
        self.table = {key: rows for key, rows in table.items() if key not in positions}

    def chunks(
        self, size: int, start: int = 0
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        return self._file.chunks(size, start)

    def digest(self) -> str:
        return self._file.spec.digest()

    def close(self) -> None:
        self._file.close()


class _SurveyStream(Stream):
    def __init__(self, name: str) -> None:
        survey, _, split = name.partition(":")
        if split and split not in SPLITS:
            raise unknown("split", split, SPLITS)
        builder = find_builder(survey)
        build_survey(builder)
        info = survey_info(builder, survey)
        self._store = SplitStore(builder, split or "+".join(SPLITS), info)
        self.name, self.bands, self.size = name, info.bands, info.image_size
        self.pixel_scale = info.pixel_scale
        held = set(builder.info.features) & set(COLUMNS)
        self.table = {key: self._store.table[key] for key in COLUMNS if key in held}

    def chunks(
        self, size: int, start: int = 0
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        for batch in self._store.read(["image"], size, start):
            images = batch["image"]
            yield start, images, flag_pixels(images, np.full(len(images), "", object))
            start += len(images)

    def digest(self) -> str:
        rows = zip(self.table["id"], self.table["redshift"].tolist(), strict=True)
        content = f"{self.name} {self._store.builder.data_dir} {list(rows)}"
        return hashlib.sha256(content.encode()).hexdigest()

    def close(self) -> None:
        """Does nothing: TFDS closes its files."""


def open_stream(source: FileSpec | str) -> Stream:
    """Returns the rows of a file or a survey.

    Args:
        source: FileSpec, or a survey's name, "builder/config" or
            "builder/config:split". Without a split all of them, training first.

    Raises:
        InputError: no such survey, or a file that cannot be used.
    """
    if isinstance(source, FileSpec):
        return _FileStream(source)
    return _SurveyStream(source)

"""Inputs in chunks: memory does not grow with the catalogue."""

import abc
import hashlib
from collections.abc import Iterator

import numpy as np

from kphotoz.data.flags import flag_photometry, flag_pixels
from kphotoz.data.split_store import COLUMNS, SplitStore
from kphotoz.data.survey import build_survey, find_builder, survey_info
from kphotoz.data.survey_info import SPLITS
from kphotoz.errors import InputError, unknown

__all__ = ["POSITIONS", "Stream", "SurveyStream", "changed"]

POSITIONS = ("ra", "dec")  # not repeated in predictions
_FLAGGING = {"image": flag_pixels, "catalog": flag_photometry}


# First row; inputs (m, *input_shape) float32; flags (m,) str, "" for a usable row.
Chunks = Iterator[tuple[int, np.ndarray, np.ndarray]]


class Stream(abc.ABC):
    """Rows of a file or a survey in fixed order.

    Attributes:
        name: str. What is read.
        kind: "image" or "catalog".
        bands: tuple of str. Band names in the order of the inputs' band axis.
        pixel_scale: float [arcsec] or None where unknown.
        zero_point: list of float, one per band [mag], or None where unknown.
        input_shape: tuple of int. (height, width, band), or (band, 2).
        table: dict of str to (n,) arrays. `id` and the labels that there are.
    """

    name: str
    kind: str
    bands: tuple[str, ...]
    pixel_scale: float | None
    zero_point: list[float] | None = None
    input_shape: tuple[int, ...]
    table: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.table["id"])

    @abc.abstractmethod
    def chunks(self, size: int, start: int = 0) -> Chunks:
        """Yields (first row, inputs, flags) in row order.

        Args:
            size: int > 0. Rows in a chunk; the last may be shorter.
            start: int. Row to begin with.

        Yields:
            int; (m, *input_shape) float32; (m,) str, "" for a usable row.
        """

    @abc.abstractmethod
    def digest(self) -> str:
        """Returns a hash of the content, in hexadecimal."""

    def check_unchanged(self) -> None:  # noqa: B027  one's own stream need not know
        """Checks that what is read is what was opened.

        Raises:
            InputError: it changed meanwhile.
        """

    def next_batch(
        self,
        chunks: Chunks,
        start: int,
        size: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the next inputs and flags of chunks, whose number is checked.

        Args:
            chunks: iterator that `chunks` returned.
            start: int. The first row.
            size: int > 0. Rows in a chunk.

        Raises:
            InputError: there are fewer or more than the table promised.
        """
        rows = min(size, len(self) - start)
        none = np.empty(0)
        at, inputs, flags = next(chunks, (start, none, none))
        if (at, len(inputs), len(flags)) != (start, rows, rows):
            raise changed(self.name, f"{len(inputs)} rows from row {at} on, not {rows}")
        return inputs, flags

    @abc.abstractmethod
    def close(self) -> None:
        """Closes what is open."""


def changed(name: str, how: str) -> InputError:
    """Returns the error for an input that is another than when it was opened.

    Args:
        name: str. The input.
        how: str. What differs.
    """
    return InputError(
        f"Wanted: an input that stays as it is. Received: {name}, which changed while "
        f"it was read ({how}). Predict again once nobody writes to it."
    )


class SurveyStream(Stream):
    """Rows of a survey.

    Args:
        name: "builder/config" or "builder/config:split", without a split all of them,
            training first.
    """

    def __init__(self, name: str) -> None:
        survey, _, split = name.partition(":")
        if split and split not in SPLITS:
            raise unknown("split", split, SPLITS)
        builder = find_builder(survey)
        build_survey(builder)
        info = survey_info(builder, survey)
        self._store = SplitStore(builder, split or "+".join(SPLITS), info)
        self.name, self.kind, self.bands = name, info.kind, info.bands
        self.pixel_scale, self.input_shape = info.pixel_scale, info.input_shape
        self.zero_point = info.zero_point
        held = set(builder.info.features) & set(COLUMNS) - set(POSITIONS)
        self.table = {key: self._store.table[key] for key in COLUMNS if key in held}

    def chunks(self, size: int, start: int = 0) -> Chunks:
        name, flag = self._store.info.input, _FLAGGING[self.kind]
        for batch in self._store.read([name], size, start):
            inputs = batch[name]
            yield start, inputs, flag(inputs, np.full(len(inputs), "", object))
            start += len(inputs)

    def digest(self) -> str:
        rows = zip(self.table["id"], self.table["redshift"].tolist(), strict=True)
        content = f"{self.name} {self._store.builder.data_dir} {list(rows)}"
        return hashlib.sha256(content.encode()).hexdigest()

    def close(self) -> None:
        """Does nothing: TFDS closes its files."""

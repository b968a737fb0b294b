"""What is known about a survey before any example is read."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from kphotoz.errors import InputError

__all__ = ["INPUTS", "SPLITS", "SurveyInfo", "damaged_survey"]

SPLITS = ("train", "validation", "calibration", "test")
# Kind of survey -> the feature that models read.
INPUTS = {"image": "image", "catalog": "photometry"}


@dataclasses.dataclass(frozen=True)
class SurveyInfo:
    """Facts about one survey.

    Args:
        name: str. "builder/config".
        bands: tuple of str. Band names in the order of the inputs' band axis.
        pixel_scale: float [arcsec] or None. None where it is unknown.
        unit: str. Unit of the inputs.
        kind: "image" (pixels) or "catalog" (fluxes and their errors).
        input_shape: tuple of int. (height, width, band), or (band, 2).
        label_kind: str. "photometric", "spectroscopic", …
        counts: dict of str to int. Examples in each split.
        metadata: dict. Everything the builder declares.
        built: str. Configuration and version of the build; an import's holds its hash.
    """

    name: str
    bands: tuple[str, ...]
    pixel_scale: float | None
    unit: str
    kind: str
    input_shape: tuple[int, ...]
    label_kind: str
    counts: dict[str, int]
    metadata: dict[str, Any]
    built: str = ""

    def unlike(self, other: "SurveyInfo") -> str | None:
        """Returns the first fact by which inputs of two surveys cannot be joined.

        That is a name of bands, input_shape, pixel_scale, kind, zero_point or unit, or
        None. Where both zero points are known they say more than the unit's name.
        """
        for fact in ("bands", "input_shape", "pixel_scale", "kind"):
            if getattr(self, fact) != getattr(other, fact):
                return fact
        if self.zero_point is None or other.zero_point is None:
            return None if self.unit == other.unit else "unit"
        apart = zip(self.zero_point, other.zero_point, strict=True)
        return "zero_point" if max(abs(a - b) for a, b in apart) > 0.01 else None

    @property
    def zero_point(self) -> list[float] | None:
        """AB magnitude of a flux of 1 in each band [mag]; None where it is unknown."""
        return self.metadata.get("zero_point")

    @property
    def input(self) -> str:
        """The name of the feature that models read."""
        return INPUTS[self.kind]

    @property
    def image_size(self) -> int | None:
        """Height and width of an image [pixel]; None for a catalogue."""
        return self.input_shape[0] if self.kind == "image" else None


@contextlib.contextmanager
def damaged_survey(folder: str | os.PathLike) -> Iterator[None]:
    """Tells what TFDS and TensorFlow raise on a damaged data set as one InputError.

    Args:
        folder: path of the data set.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # TensorFlow's and protobuf's have no common base
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"Wanted: a survey as it was built. Received: {folder}, which cannot be "
            f"read ({reason}). Remove it, and build or import it again."
        ) from error

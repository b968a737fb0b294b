"""What is known about a survey before any example is read."""

import dataclasses
from typing import Any

__all__ = ["SPLITS", "SurveyInfo"]

SPLITS = ("train", "validation", "calibration", "test")


@dataclasses.dataclass(frozen=True)
class SurveyInfo:
    """Facts about one survey.

    Args:
        name: str. "builder/config".
        bands: tuple of str. Band names in the order of the image's last axis.
        pixel_scale: float [arcsec] or None. None where it is unknown.
        unit: str. Unit of the pixel values.
        image_size: int [pixel]. Height and width of an image.
        label_kind: str. "photometric", "spectroscopic", …
        counts: dict of str to int. Examples in each split.
        metadata: dict. Everything the builder declares.
    """

    name: str
    bands: tuple[str, ...]
    pixel_scale: float | None
    unit: str
    image_size: int
    label_kind: str
    counts: dict[str, int]
    metadata: dict[str, Any]

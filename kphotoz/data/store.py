"""What a sample reads examples from."""

from typing import Protocol

import numpy as np

from kphotoz.data.survey_info import SurveyInfo

__all__ = ["Store"]


class Store(Protocol):
    """Examples in a fixed order: a split on disk, or what was computed from others.

    It is hashable by identity, and what it gives out does not change.
    """

    @property
    def info(self) -> SurveyInfo:
        """Facts about the survey, the shape of its inputs among them."""

    @property
    def table(self) -> dict[str, np.ndarray]:
        """The catalogue, (n,) each: text columns as str, numbers as float64."""

    @property
    def inputs(self) -> np.ndarray:
        """(n, *info.input_shape) float32, in memory or on disk."""

    def __len__(self) -> int: ...

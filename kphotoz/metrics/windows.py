"""A range of redshift in which a metric is taken, and which redshift it cuts on."""

import dataclasses
import re

import numpy as np

from kphotoz.errors import InputError

__all__ = ["Window"]

SIDES = ("z_true", "z_pred")


@dataclasses.dataclass(frozen=True)
class Window:
    """The objects with ``low < z <= high``, right-closed.

    There is no default for `on`: cutting on the reference redshift and on the predicted
    one select different objects, and users of a catalogue can only do the latter.

    Args:
        low: float. Lower edge, not included.
        high: float. Upper edge, included.
        on: str, "z_true" (the reference) or "z_pred"; `binned` takes other quantities.
    """

    low: float
    high: float
    on: str

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(
                "Wanted: a window with low < high. "
                f"Received: {self.low}:{self.high}. Swap or widen it."
            )

    def __str__(self) -> str:
        return f"{self.low:g} < {self.on} ≤ {self.high:g}"

    @classmethod
    def read(cls, text: str) -> "Window":
        """Returns the window of what `str` made of one.

        Raises:
            InputError: it is none such.
        """
        try:
            low, on, high = re.split(" < | ≤ ", text)
            return cls(float(low), float(high), on)
        except ValueError:
            raise InputError(
                f"Wanted: a window such as 0.3 < z_true ≤ 1.5. Received: {text!r}."
            ) from None

    @classmethod
    def parse(cls, text: str, on: str) -> "Window":
        """Returns the window of a text such as "0.3:1.5".

        Raises:
            InputError: the text is not two numbers, or `on` is neither redshift.
        """
        if on not in SIDES:
            raise InputError(
                f"Wanted: a window on one of {', '.join(SIDES)}. Received: {on!r}. "
                "Say which redshift it cuts on."
            )
        try:
            low, high = (float(part) for part in text.split(":"))
        except ValueError:
            raise InputError(
                f"Wanted: a window LOW:HIGH such as 0.3:1.5. Received: {text!r}."
            ) from None
        return cls(low, high, on)

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Returns a mask, False for NaN, of the shape of `values`."""
        return (values > self.low) & (values <= self.high)

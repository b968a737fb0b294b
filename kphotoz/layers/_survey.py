"""The one comparison of a model's bands, pixels and zero points with a survey's."""

from collections.abc import Iterable, Sequence

import numpy as np

from kphotoz.errors import InputError


class SurveyInput:
    """What a layer knows of the survey it reads; stands before `keras.layers.Layer`.

    Attributes:
        bands: list of str, or None where nothing is checked.
        pixel_scale: float [arcsec] or None where unknown.
        zero_point: list of float, one per band [mag], or None where unknown.
    """

    bands: list[str] | None
    pixel_scale: float | None = None
    zero_point: list[float] | None = None

    def check(
        self,
        bands: Sequence[str],
        pixel_scale: float | None = None,
        zero_point: Sequence[float] | None = None,
    ) -> None:
        """Refuses a survey with another band order, pixel scale or zero points.

        Args:
            bands: sequence of str. Band order of the survey.
            pixel_scale: float or None. Pixel size of the survey [arcsec]; what is None
                is unknown and passes.
            zero_point: sequence of float or None, one per band [mag].

        Raises:
            InputError: naming what is wanted and what is received.
        """
        if self.bands is None:
            return
        _check_bands(self.bands, [str(band) for band in bands])
        if self.pixel_scale is not None and pixel_scale is not None:
            _check_scale(self.pixel_scale, pixel_scale)
        if self.zero_point is not None and zero_point is not None:
            _check_zero_points(self.zero_point, zero_point)


def _check_bands(wanted: list[str], received: list[str]) -> None:
    if received != wanted:
        raise InputError(
            f"Wanted: bands in the order {','.join(wanted)} of the model. "
            f"Received: {','.join(received)}. {_fix(wanted, received)}"
        )


def _check_scale(wanted: float, received: float) -> None:
    if abs(received / wanted - 1.0) > 0.01:
        raise InputError(
            f"Wanted: pixels of {wanted:g} arcsec, as the model was "
            f"trained on. Received: {received:g} arcsec. Resample the images."
        )


def _check_zero_points(wanted: Sequence[float], received: Sequence[float]) -> None:
    apart = np.subtract(received, wanted)
    if np.abs(apart).max() > 0.01:
        raise InputError(
            f"Wanted: zero points {_told(wanted)} of the model. Received: "
            f"{_told(received)}. Multiply the pixels by {_told(10 ** (-0.4 * apart))} "
            "and give the zero points of the model."
        )


def _told(numbers: Iterable[float]) -> str:
    """Returns one number where all are equal, else all of them."""
    return ", ".join(dict.fromkeys(f"{number:.4g}" for number in numbers))


def _fix(wanted: Sequence[str], received: Sequence[str]) -> str:
    missing = [band for band in wanted if band not in received]
    if missing:
        return f"Give {', '.join(missing)} too, or train a model without."
    return "Give them in this order: of images the last axis, of tables the columns."

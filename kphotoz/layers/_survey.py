"""The one comparison of a model's bands, pixels and zero points with a survey's."""

from collections.abc import Iterable, Sequence

import numpy as np

from kphotoz.errors import InputError


def check_survey(
    wanted_bands: Sequence[str],
    wanted_scale: float | None,
    bands: Sequence[str],
    pixel_scale: float | None,
    wanted_zero_point: Sequence[float] | None = None,
    zero_point: Sequence[float] | None = None,
) -> None:
    """Raises InputError unless bands and their order agree, and what else is known."""
    received = [str(band) for band in bands]
    if received != list(wanted_bands):
        raise InputError(
            f"Wanted: bands in the order {','.join(wanted_bands)} of the model. "
            f"Received: {','.join(received)}. {_fix(wanted_bands, received)}"
        )
    known = pixel_scale is not None and wanted_scale is not None
    if known and abs(pixel_scale / wanted_scale - 1.0) > 0.01:
        raise InputError(
            f"Wanted: pixels of {wanted_scale:g} arcsec, as the model was "
            f"trained on. Received: {pixel_scale:g} arcsec. Resample the images."
        )
    if wanted_zero_point is None or zero_point is None:
        return
    apart = np.subtract(zero_point, wanted_zero_point)
    if np.abs(apart).max() > 0.01:
        raise InputError(
            f"Wanted: zero points {_told(wanted_zero_point)} of the model. Received: "
            f"{_told(zero_point)}. Multiply the pixels by "
            f"{_told(10 ** (-0.4 * apart))} and give the zero points of the model."
        )


def _told(numbers: Iterable[float]) -> str:
    """Returns one number where all are equal, else all of them."""
    return ", ".join(dict.fromkeys(f"{number:.4g}" for number in numbers))


def _fix(wanted: Sequence[str], received: Sequence[str]) -> str:
    missing = [band for band in wanted if band not in received]
    if missing:
        return f"Give {', '.join(missing)} too, or train a model without."
    return "Give them in this order: of images the last axis, of tables the columns."

"""Compares a survey's bands and pixels with those a model was made for."""

from collections.abc import Sequence

import keras

__all__ = ["check_input"]


def check_input(
    model: keras.Model, bands: Sequence[str], pixel_scale: float | None
) -> None:
    """Refuses a survey with another band order or pixel scale than the model's.

    Args:
        model: keras.Model, made by `build_photoz` or adapted from one.
        bands: sequence of str. Band order of the survey.
        pixel_scale: float or None. Pixel size of the survey [arcsec].

    Raises:
        InputError: naming the wanted and the received order or scale.
    """
    for layer in model.layers:
        if hasattr(layer, "check") and hasattr(layer, "bands"):
            layer.check(bands, pixel_scale)

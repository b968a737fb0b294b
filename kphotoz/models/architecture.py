"""The settings of each architecture and their checks."""

import math
from collections.abc import Callable
from typing import Any

from kphotoz.errors import InputError, unknown
from kphotoz.layers.band_stretch import STRETCHES

__all__ = ["ARCHITECTURES", "resolve"]

# Our choices, made on inner folds of real SDSS quasar images and on the validation
# split of 1,500 mock galaxies. With fewer than 1,000 labels more dropout is better:
# the recipe `cutouts` has the numbers.
#
# stretch: "asinh", or "none" for pixels as the survey has them
# augment: whether training images are turned and mirrored
# median_start: whether the first prediction is the median label
# batch_norm: whether the convolutions of small_cnn are normalised; resnet18's are
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "small_cnn": {
        "branch": "both",
        "crop": 32,
        "stretch": "asinh",
        "augment": True,
        "batch_norm": False,
        "filters": [16, 32, 64],
        "image_units": 64,
        "image_dropout": 0.2,
        "photometry_units": [128, 128],
        "photometry_dropout": 0.1,
        "radii": [2.5, 4.5, 8.0],
        "quantile_bins": 8,
        "quantile_dropout": 0.05,
        "head_units": [64],
        "head_dropout": 0.0,
        "redshift_bins": 32,
        "median_start": True,
    },
    "resnet18": {
        "branch": "image",
        "crop": None,
        "stretch": "asinh",
        "augment": True,
        "photometry_units": [128, 128],
        "photometry_dropout": 0.3,
        "radii": [2.5, 4.5, 8.0],
        "quantile_bins": 8,
        "quantile_dropout": 0.1,
        "head_units": [512, 256],
        "head_dropout": 0.5,
        "redshift_bins": 0,
        "median_start": True,
    },
    "catalog_mlp": {
        "photometry_units": [128, 128],
        "photometry_dropout": 0.1,
        "quantile_bins": 8,
        "quantile_dropout": 0.0,
        "head_units": [64],
        "head_dropout": 0.0,
        "redshift_bins": 32,
    },
    # As published: nothing to set.
    "catalog_4x200": {},
}

BRANCHES = ("both", "image", "photometry")


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_crop(value: Any) -> bool:
    return value is None or _is_whole(value, 4)


def _is_count(value: Any) -> bool:
    return _is_whole(value, 0)


def _are_units(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_whole, value))


def _are_filters(value: Any) -> bool:
    return _are_units(value) and len(value) > 0


def _is_rate(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < 1


def _are_radii(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in value):
        return False
    return value[0] >= 1 and all(a < b for a, b in zip(value, value[1:], strict=False))


# Setting, or the end of its name -> what it must be, and in words.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "augment": (_is_switch, "true or false"),
    "batch_norm": (_is_switch, "true or false"),
    "median_start": (_is_switch, "true or false"),
    "crop": (_is_crop, "as a number of pixels, at least 4, or null"),
    "filters": (_are_filters, "as a list of one or more whole numbers from 1 up"),
    "image_units": (_is_whole, "as a whole number from 1 up"),
    "quantile_bins": (_is_whole, "as a whole number from 1 up"),
    "redshift_bins": (_is_count, "as a whole number, 0 for none"),
    "radii": (_are_radii, "as a list of rising numbers of pixels, from 1 up"),
    "_units": (_are_units, "as a list of whole numbers from 1 up"),
    "_dropout": (_is_rate, "as a number from 0 up and below 1"),
}


def resolve(architecture: dict[str, Any]) -> dict[str, Any]:
    """Returns the architecture with every default filled in.

    Args:
        architecture: dict with `name` and any settings of `ARCHITECTURES[name]`.

    Raises:
        InputError: for an unknown name, setting, branch or stretch, or a value of the
            wrong kind.
    """
    given = dict(architecture)
    name = given.pop("name", "small_cnn")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    settings = ARCHITECTURES[name]
    for key in given:
        if key not in settings:
            raise unknown(f"setting of {name}", key, settings)
    settings = {"name": name, **settings, **given}
    if settings.get("branch", "both") not in BRANCHES:
        raise unknown("branch", settings["branch"], BRANCHES)
    if settings.get("stretch", "asinh") not in STRETCHES:
        raise unknown("stretch", settings["stretch"], STRETCHES)
    for key, value in settings.items():
        ending = key[key.rfind("_") :] if "_" in key else key
        good, words = _CHECKS.get(key) or _CHECKS.get(ending) or (None, "")
        if good and not good(value):
            raise InputError(
                f"Wanted: {key} {words}. Received: {value!r}. "
                "Leave it out for the default."
            )
    return settings

"""The settings of each architecture and their checks."""

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
_SWITCHES = ("augment", "batch_norm", "median_start")


def resolve(architecture: dict[str, Any]) -> dict[str, Any]:
    """Returns the architecture with every default filled in.

    Args:
        architecture: dict with `name` and any settings of `ARCHITECTURES[name]`.

    Raises:
        InputError: for an unknown name, setting, branch or stretch.
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
    for key in _SWITCHES:
        if not isinstance(settings.get(key, True), bool):
            raise InputError(
                f"Wanted: {key} true or false. Received: {settings[key]!r}. "
                "Leave it out for the default."
            )
    crop = settings.get("crop")
    if crop is not None and (not isinstance(crop, int) or crop < 4):
        raise InputError(
            f"Wanted: crop as a number of pixels, at least 4, or null. Received: "
            f"{crop!r}. Leave it out for the default."
        )
    return settings

"""The settings of each architecture and their checks."""

from typing import Any

from kphotoz.errors import InputError, unknown

__all__ = ["ARCHITECTURES", "resolve"]

# Our choices, made on inner folds of real SDSS quasar images and on the validation
# split of 1,500 mock galaxies. With fewer than 1,000 labels more dropout is better:
# the recipe `cutouts` has the numbers.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "small_cnn": {
        "branch": "both",
        "crop": 32,
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
    },
    "resnet18": {
        "branch": "image",
        "crop": None,
        "photometry_units": [128, 128],
        "photometry_dropout": 0.3,
        "radii": [2.5, 4.5, 8.0],
        "quantile_bins": 8,
        "quantile_dropout": 0.1,
        "head_units": [512, 256],
        "head_dropout": 0.5,
        "redshift_bins": 0,
    },
    "catalog_mlp": {
        "photometry_units": [256, 256],
        "photometry_dropout": 0.1,
        "quantile_bins": 16,
        "quantile_dropout": 0.0,
        "head_units": [64],
        "head_dropout": 0.0,
        "redshift_bins": 32,
    },
    # As published: nothing to set.
    "catalog_4x200": {},
}

BRANCHES = ("both", "image", "photometry")


def resolve(architecture: dict[str, Any]) -> dict[str, Any]:
    """Returns the architecture with every default filled in.

    Args:
        architecture: dict with `name` and any settings of `ARCHITECTURES[name]`.

    Raises:
        InputError: for an unknown name, setting or branch.
    """
    given = dict(architecture)
    name = given.pop("name", "small_cnn")
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    settings = ARCHITECTURES[name]
    for key in given:
        if key not in settings:
            raise unknown(f"setting of {name}", key, settings)
    settings = {"name": name, **settings, **given}
    if settings.get("branch", "both") not in BRANCHES:
        raise unknown("branch", settings["branch"], BRANCHES)
    crop = settings.get("crop")
    if crop is not None and (not isinstance(crop, int) or crop < 4):
        raise InputError(
            f"Wanted: crop as a number of pixels, at least 4, or null. Received: "
            f"{crop!r}. Leave it out for the default."
        )
    return settings

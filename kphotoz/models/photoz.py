"""Redshift models from raw survey pixels or catalogue fluxes."""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kphotoz.errors import InputError
from kphotoz.features import aperture_photometry, noise_sigma
from kphotoz.layers import (
    AperturePhotometry,
    BandStretch,
    QuantileEncoding,
    RandomDihedral,
)
from kphotoz.models.architecture import resolve
from kphotoz.models.catalog import CATALOG_NETWORKS, check_photometry
from kphotoz.models.dense import STEM, dense_stack, redshift_head
from kphotoz.models.resnet import resnet18_trunk
from kphotoz.models.seeding import seeded
from kphotoz.models.small_cnn import small_cnn_trunk

__all__ = ["build_photoz"]


def build_photoz(
    architecture: dict[str, Any],
    inputs: np.ndarray,
    redshifts: np.ndarray,
    *,
    bands: Sequence[str],
    pixel_scale: float | None,
    zero_point: Sequence[float] | None = None,
    seed: int,
) -> keras.Model:
    """Returns an uncompiled model from what a survey holds to a redshift.

    The model is one flat Functional graph of named layers, which ends in the redshift
    regressor, whose layers start with `head_`. For images it has stretch, crop,
    augmentation (in training only), image trunk and aperture photometry of the same
    pixels; for catalogues asinh magnitudes. Equal arguments give equal layer names and
    equal weights.

    Args:
        architecture: dict. `name` ("small_cnn" or "resnet18" for images, "catalog_mlp"
            or "catalog_4x200" for catalogues) and settings of `ARCHITECTURES[name]`.
        inputs: float array `(n, height, width, band)`, survey flux units, or
            `(n, band, 2)`, flux and error [uJy]. Training inputs to which stretch and
            photometry are fitted; 2,000 are plenty.
        redshifts: float array `(n,)`. Training labels, for the start of the output.
        bands: sequence of str. Band order of the inputs.
        pixel_scale: float or None. Pixel size [arcsec], None if unknown.
        zero_point: sequence of float or None, one per band [mag]. Magnitude of a pixel
            of 1, None if unknown; the fluxes of a catalogue have none.
        seed: int. Start of weights, dropout and augmentation.

    Returns:
        keras.Model from `(batch, *inputs.shape[1:])` to `(batch, 1)`, float32.

    Raises:
        InputError: for an unknown setting, or inputs that do not fit the bands or the
            architecture.
    """
    settings = resolve(architecture)
    name = f"photoz_{settings['name']}"
    inputs = np.asarray(inputs, "float32")
    labels = np.asarray(redshifts, "float64")
    labels = labels[np.isfinite(labels)]
    if not len(inputs) or not len(labels):
        raise InputError(
            f"Wanted: training inputs and finite redshifts. Received: {len(inputs)} "
            f"inputs, {len(labels)} finite redshifts. Check the training split."
        )
    with seeded(seed):
        if settings["name"] in CATALOG_NETWORKS:
            check_photometry(inputs, bands)
            fluxes = keras.Input(inputs.shape[1:], name="photometry", dtype="float32")
            network = CATALOG_NETWORKS[settings["name"]]
            redshift = network(settings, fluxes, inputs, labels, bands)
            return keras.Model(fluxes, redshift, name=name)
        images = inputs
        _check(images, bands)
        pixels = keras.Input(images.shape[1:], name="image", dtype="float32")
        survey = {"bands": bands, "pixel_scale": pixel_scale, "zero_point": zero_point}
        noise, parts = None, []
        if settings["branch"] != "image":
            noise = noise_sigma(images)  # once, for both branches
        if settings["branch"] != "photometry":
            parts.append(_image_branch(settings, pixels, images, survey, noise))
        if noise is not None:
            parts.append(_photometry_branch(settings, pixels, images, survey, noise))
        features = parts[0]
        if len(parts) > 1:
            features = keras.layers.Concatenate(name="features")(parts)
        redshift = redshift_head(settings, features, labels)
        return keras.Model(pixels, redshift, name=name)


def _check(images: np.ndarray, bands: Sequence[str]) -> None:
    if images.ndim != 4 or images.shape[-1] != len(list(bands)):
        raise InputError(
            f"Wanted: images (n, height, width, {len(list(bands))}) for the bands "
            f"{list(bands)}. Received: shape {images.shape}. Put the band last; for a "
            "catalogue set model.name=catalog_mlp."
        )
    if not np.isfinite(images).all():
        raise InputError(
            "Wanted: finite pixels. Received: NaN or infinity in the training images. "
            "Replace such pixels by 0 or leave the images out."
        )


def _image_branch(
    settings: dict[str, Any],
    pixels: Any,
    images: np.ndarray,
    survey: dict[str, Any],
    noise: np.ndarray | None,
) -> Any:
    kind = settings["stretch"]
    stretch = BandStretch.from_images(
        images, stretch=kind, softening=noise, name="stretch", **survey
    )
    outputs = pixels
    crop = settings["crop"]
    height, width = images.shape[1:3]
    if crop is not None and (height > crop or width > crop):
        rows, columns = max(height - crop, 0), max(width - crop, 0)
        margins = (
            (rows // 2, rows - rows // 2),
            (columns // 2, columns - columns // 2),
        )
        outputs = keras.layers.Cropping2D(margins, dtype="float32", name="crop")(
            outputs
        )
    outputs = stretch(outputs)
    if settings["augment"]:
        seed = random.randint(0, 2**31 - 1)
        outputs = RandomDihedral(seed=seed, name="dihedral")(outputs)
    trunk = {"small_cnn": small_cnn_trunk, "resnet18": resnet18_trunk}
    return trunk[settings["name"]](settings, outputs)


def _photometry_branch(
    settings: dict[str, Any],
    pixels: Any,
    images: np.ndarray,
    survey: dict[str, Any],
    noise: np.ndarray,
) -> Any:
    photometry = AperturePhotometry(
        noise.tolist(), settings["radii"], name="photometry", **survey
    )
    table = aperture_photometry(images, photometry.softening, photometry.radii)
    encoding = QuantileEncoding.from_table(
        table, settings["quantile_bins"], name="photometry_quantiles"
    )
    outputs = encoding(photometry(pixels))
    if settings["quantile_dropout"]:
        outputs = keras.layers.Dropout(
            settings["quantile_dropout"], name="photometry_dropout_0"
        )(outputs)
    return dense_stack(
        outputs,
        settings["photometry_units"],
        settings["photometry_dropout"],
        "photometry",
        initializer="he_normal",
        first=STEM if settings["branch"] == "photometry" else None,
    )

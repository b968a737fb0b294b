"""Features of images: arrays in, arrays out, no Keras."""

from kphotoz.features.aperture_photometry import (
    RADII,
    aperture_masks,
    aperture_photometry,
    feature_names,
)
from kphotoz.features.noise import noise_sigma

__all__ = [
    "RADII",
    "aperture_masks",
    "aperture_photometry",
    "feature_names",
    "noise_sigma",
]

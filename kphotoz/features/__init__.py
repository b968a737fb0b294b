"""Features of images and catalogues: arrays in, arrays out, no Keras."""

from kphotoz.features.aperture_photometry import (
    RADII,
    aperture_masks,
    aperture_photometry,
    feature_names,
)
from kphotoz.features.catalog_photometry import (
    catalog_feature_names,
    catalog_photometry,
    count_object_features,
    fill_magnitudes,
    flux_softening,
)
from kphotoz.features.noise import noise_sigma

__all__ = [
    "RADII",
    "aperture_masks",
    "aperture_photometry",
    "catalog_feature_names",
    "catalog_photometry",
    "count_object_features",
    "feature_names",
    "fill_magnitudes",
    "flux_softening",
    "noise_sigma",
]

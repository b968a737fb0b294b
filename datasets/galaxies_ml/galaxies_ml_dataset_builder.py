"""GalaxiesML: HSC images with spectroscopic redshifts (Do et al. 2024)."""

from typing import Any

import tensorflow_datasets as tfds

from kphotoz_datasets._hdf5_builder import HDF5Builder
from kphotoz_datasets._hdf5_options import HDF5Config, configured, named_configs

__all__ = ["Builder", "config"]

SURVEY = "galaxies_ml"


def config(name: str = "images_64", **options: Any) -> HDF5Config:
    """Returns a configuration, with options changed and a name that says so.

    Args:
        name: str. "images_64", "images_127" or "magnitudes".
        **options: as README.md lists them, such as `z_max=1.5`.

    Raises:
        InputError: an unknown name or option, or a value that cannot be.
    """
    return configured(SURVEY, name, options)


class Builder(HDF5Builder):
    """286,401 galaxies with spectroscopic redshifts; see README.md."""

    SURVEY = SURVEY
    LABEL_KIND = "spectroscopic"
    TERMS = {
        "licence": "CC-BY-4.0",
        "acknowledgement": "Do et al. 2024, arXiv 2410.00271; HSC-SSP and the "
        "spectroscopic surveys: see ACKNOWLEDGEMENT.md of galaxies_ml.",
    }
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = list(named_configs(SURVEY).values())
    DEFAULT_BUILDER_CONFIG_NAME = "images_64"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Optional: put 5x64x64_{training,validation,testing}_with_morphology.hdf5 (or "
        "5x127x127_...) of https://zenodo.org/records/11117528 into the folder "
        "galaxies_ml here; else they are downloaded."
    )

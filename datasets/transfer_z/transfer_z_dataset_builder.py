"""TransferZ-Images: HSC images with COSMOS2020 photometric redshifts."""

from typing import Any

import tensorflow_datasets as tfds

from kphotoz_datasets._hdf5_builder import HDF5Builder
from kphotoz_datasets._hdf5_options import HDF5Config, configured, named_configs

__all__ = ["Builder", "config"]

SURVEY = "transfer_z"


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
    """Galaxies with photometric redshifts of many bands; see README.md."""

    SURVEY = SURVEY
    LABEL_KIND = "photometric"
    TERMS = {
        "licence": "unknown: see LICENSE.md of transfer_z",
        "acknowledgement": "Soriano et al. 2024, arXiv 2411.18054; Weaver et al. 2022; "
        "HSC-SSP: see ACKNOWLEDGEMENT.md of transfer_z.",
    }
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = list(named_configs(SURVEY).values())
    DEFAULT_BUILDER_CONFIG_NAME = "images_64"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put transferz_5x64x64_{TRAINING,VALIDATION,TESTING}.h5 (or "
        "transferz_5x127x127_...) of https://zenodo.org/records/16989604, if it is "
        "public, into the folder transfer_z here."
    )

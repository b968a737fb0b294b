"""The union of GalaxiesML and TransferZ-Images."""

from typing import Any

import tensorflow_datasets as tfds

from kphotoz_datasets._hdf5_builder import HDF5Builder
from kphotoz_datasets._hdf5_options import HDF5Config, configured, named_configs

__all__ = ["Builder", "config"]

SURVEY = "combined_z"


def config(name: str = "images_64", **options: Any) -> HDF5Config:
    """Returns a configuration, with options changed and a name that says so.

    Args:
        name: str. "images_64", "images_127" or "magnitudes".
        **options: as README.md lists them, such as `match="id"`.

    Raises:
        InputError: an unknown name or option, or a value that cannot be.
    """
    return configured(SURVEY, name, options)


class Builder(HDF5Builder):
    """Galaxies with redshifts of either kind; see README.md."""

    SURVEY = SURVEY
    LABEL_KIND = "mixed"
    TERMS = {
        "licence": "GalaxiesML CC-BY-4.0, TransferZ-Images unknown",
        "acknowledgement": "As galaxies_ml and transfer_z: see ACKNOWLEDGEMENT.md of "
        "combined_z.",
    }
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = list(named_configs(SURVEY).values())
    DEFAULT_BUILDER_CONFIG_NAME = "images_64"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the files of transfer_z and, to save their download, of galaxies_ml into "
        "the folders of these names here, or combo_5x64x64_{TRAINING,VALIDATION,"
        "TESTING}.h5 into the folder combined_z."
    )

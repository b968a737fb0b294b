"""A user's own cutouts: an HDF5 or NPZ file, or a folder of FITS files with a table."""

import tensorflow_datasets as tfds

from kphotoz.files_in.readers import ImageFile
from kphotoz_datasets._user_file import UserFileBuilder, file_config

__all__ = ["Builder", "file_config"]


class Builder(UserFileBuilder):
    """Cutouts of a user's file; `kphotoz data import` builds it."""

    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {
        "1.2.0": "Zero points are in AB: the offset of other systems is added.",
        "1.1.0": "Positions; groups by position are named after it.",
        "1.0.0": "First release.",
    }
    KIND = "image"
    SHAPE = (None, None, None)
    AXES = ("height", "width", "band")

    def _declared(self, file: ImageFile) -> dict:
        count = len(file.bands)
        return {
            "psf_fwhm": file.spec.declared("psf_fwhm", count),
            "zero_point": file.zero_point,
            "given_zero_point": file.spec.declared("zero_point", count),
        }

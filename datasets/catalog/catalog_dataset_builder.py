"""A user's own catalogue: a table of magnitudes or fluxes, kept in µJy."""

import tensorflow_datasets as tfds

from kphotoz.features.photometry import ZERO_POINT
from kphotoz.files_in.readers import CatalogFile
from kphotoz_datasets._user_file import UserFileBuilder, file_config

__all__ = ["Builder", "file_config"]


class Builder(UserFileBuilder):
    """Photometry of a user's table; `kphotoz data import` builds it."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    KIND = "catalog"
    SHAPE = (None, 2)
    AXES = ("band", "flux density and its standard error")

    def _declared(self, file: CatalogFile) -> dict:
        """Returns what the survey holds, and what the table held, as `given_…`."""
        spec, count = file.spec, len(file.bands)
        values = "magnitudes" if spec.magnitudes else "fluxes"
        # A column `magnitude` of the table may be of any band.
        unknown = spec.reference_band is None and "magnitude" in file.table
        return {
            "unit": "uJy",
            "zero_point": [ZERO_POINT] * count,
            "magnitude_system": "AB",
            "reference_band": None if unknown else file.bands[spec.reference],
            "given_values": values,
            "given_unit": spec.unit or ("mag" if spec.magnitudes else "unknown"),
            "given_zero_point": spec.zero_points() if spec.fluxes else None,
            "given_magnitude_system": spec.magnitude_system or "unknown",
            "given_magnitude_type": spec.magnitude_type if spec.magnitudes else None,
            "softening": spec.softenings(),
            "maximum_magnitude_error": spec.maximum_magnitude_error,
            "extinction_columns": list(spec.extinction_columns or ()) or None,
        }

"""What a user says about a file of cutouts: where things are and what they mean."""

import pathlib
from typing import Any, ClassVar, Literal, Self

import pydantic

from kphotoz.files_in.survey_spec import (
    LABEL_ROLES,
    UNITS,
    Numbers,
    Positive,
    SurveySpec,
    Unknown,
)

__all__ = ["SUFFIXES", "FileSpec"]

# What names a file of cutouts, a table or a description; a folder needs no suffix.
SUFFIXES = (
    *(".h5", ".hdf5", ".hdf", ".npz", ".yaml", ".yml"),
    *(".csv", ".tsv", ".ecsv", ".fits", ".fit", ".parquet"),
)


class FileSpec(SurveySpec):
    """A file or folder of cutouts and how to read it.

    Args:
        file: path. HDF5, NPZ, or a folder of FITS cutouts with a table.
        table: str or None. The table of a folder. [default: the only one there]
        keys: dict of role to key, as in `SurveySpec`, and the role image.
        unit: str. Of the pixels. Jy, mJy, uJy, nJy, maggy and nanomaggy imply a zero
            point, which another given one must not contradict.
        layout: "band_first", "band_last", or "auto" where the shape leaves no doubt.
        pixel_scale: float [arcsec per pixel].
        psf_fwhm: float or one per band [arcsec].

    All other arguments are those of `SurveySpec`.
    """

    KIND: ClassVar[str] = "a file or folder of cutouts"
    ROLES: ClassVar[dict[str, tuple[str, ...]]] = {
        "image": ("image", "images"),
        **LABEL_ROLES,
    }
    PER_BAND: ClassVar[tuple[str, ...]] = (*SurveySpec.PER_BAND, "psf_fwhm")

    table: str | None = None
    layout: Literal["auto", "band_first", "band_last"] = "auto"
    pixel_scale: Positive | Unknown | None = None
    psf_fwhm: Numbers | Positive | Unknown | None = None

    @pydantic.model_validator(mode="after")
    def _one_scale(self) -> Self:
        self._check_unit()
        if self.declared("zero_point", 1) is not None:
            self._check_system()
        return self

    def declared(self, field: str, bands: int = 0) -> Any:
        """Returns a field as `SurveySpec.declared`; a known unit has a zero point.

        Args:
            field: str. Name of the field.
            bands: int. Number of bands that one number stands for.
        """
        if field == "zero_point" and self.zero_point is None and self.unit in UNITS:
            return [UNITS[self.unit]] * bands
        return super().declared(field, bands)

    def zero_points(self, bands: int) -> list[float] | None:
        """Returns the AB magnitude of a flux of 1 in each band, None where unknown.

        Args:
            bands: int. Their number.
        """
        given = self.declared("zero_point", bands)
        offsets = self.declared("ab_offset", bands) or [0.0] * bands
        return given and [a + b for a, b in zip(given, offsets, strict=True)]

    def asked(self) -> tuple[str, ...]:
        """Returns the fields that must be declared, or said to be unknown."""
        scale = ("unit",) if self.unit in UNITS else ("unit", "zero_point")
        return ("pixel_scale", *scale, "psf_fwhm", *super().asked())

    def _files(self) -> dict[pathlib.PurePath, pathlib.Path | bytes]:
        """Returns what is read, the table of a folder wherever it is."""
        files = super()._files()
        if self.table is not None and self.file.is_dir():
            files.setdefault(pathlib.PurePath(self.table), self.file / self.table)
        return files

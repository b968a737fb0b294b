"""What a user says about a table of magnitudes or fluxes."""

from typing import Annotated, ClassVar, Literal, Self

import pydantic

from kphotoz.files_in.survey_spec import UNITS, Numbers, Positive, SurveySpec

__all__ = ["SDSS_SOFTENING", "CatalogSpec"]

# b of SDSS's asinh magnitudes [maggy]; SDSS, "Measures of flux and magnitude".
SDSS_SOFTENING = {"u": 1.4e-10, "g": 0.9e-10, "r": 1.2e-10, "i": 1.8e-10, "z": 7.4e-10}

_OF_MAGNITUDES = (
    *("magnitude_errors", "magnitude_type", "softening"),
    "maximum_magnitude_error",
)
_OF_FLUXES = ("flux_errors", "zero_point", "unit")
Columns = tuple[str, ...]


class CatalogSpec(SurveySpec):
    """A table of magnitudes or fluxes, one column a band, and what they mean.

    Args:
        file: path. CSV, TSV, ECSV, FITS or parquet.
        bands: tuple of str. Band names, in the order of the columns.
        magnitudes, magnitude_errors: tuple of str. Columns, one per band; `NAME[I]` is
            entry I of a column of arrays.
        fluxes, flux_errors: tuple of str. The same for fluxes.
        unit: str. Of fluxes: Jy, mJy, uJy, nJy, maggy or nanomaggy; another one needs a
            zero point.
        zero_point: float or one per band [mag]. Of fluxes: AB magnitude of a flux of 1.
        magnitude_type: "pogson", "asinh", or "unknown", which is read as pogson.
        softening: float or one per band [maggy], or "sdss". The b of asinh magnitudes.
        maximum_magnitude_error: float [mag] or None. Magnitudes with a larger error
            count as not observed.
        extinction_columns: tuple of str. Galactic extinction [mag], one per band; it is
            subtracted. Needs extinction "deredden".
        reference_band: str. Its magnitude is the column `magnitude`. [default: i if
            there, else the middle one]

    All other arguments are those of `SurveySpec`.
    """

    KIND: ClassVar[str] = "a table of magnitudes or fluxes"
    PER_BAND: ClassVar[tuple[str, ...]] = (*SurveySpec.PER_BAND, "softening")

    bands: Annotated[Columns, pydantic.BeforeValidator(lambda x: x or ())] = ()
    magnitudes: Columns | None = None
    magnitude_errors: Columns | None = None
    fluxes: Columns | None = None
    flux_errors: Columns | None = None
    magnitude_type: Literal["pogson", "asinh", "unknown"] | None = None
    softening: Numbers | Positive | Literal["sdss"] | None = None
    maximum_magnitude_error: Positive | None = None
    extinction_columns: Columns | None = None
    reference_band: str | None = None

    @pydantic.model_validator(mode="after")
    def _usable(self) -> Self:
        self._check_kind()
        self._check_columns()
        self._check_softening()
        if self.fluxes:
            self._check_zero_point()
        self._check_system()
        if self.reference_band not in (None, *self.bands):
            raise ValueError(
                f"reference_band {self.reference_band!r} is none of the bands "
                f"{', '.join(self.bands)}"
            )
        return self

    def _check_kind(self) -> None:
        if bool(self.magnitudes) == bool(self.fluxes):
            raise ValueError("give either magnitudes or fluxes, one column a band")
        kind = "magnitudes" if self.magnitudes else "fluxes"
        foreign = _OF_FLUXES if self.magnitudes else _OF_MAGNITUDES
        for field in foreign:
            if getattr(self, field) not in (None, "unknown"):
                raise ValueError(f"{field} does not belong to {kind}")
        if self.extinction_columns and self.extinction != "deredden":
            raise ValueError("extinction_columns need extinction: deredden")

    def _check_columns(self) -> None:
        if not self.bands:
            raise ValueError("bands are needed, in the order of the columns")
        if not self.errors:
            errors = "magnitude_errors" if self.magnitudes else "flux_errors"
            raise ValueError(f"{errors} are needed, one column a band")
        counts = {"bands": len(self.bands)}
        for field, columns in self.columns().items():
            counts[field] = len(columns)
        if len(set(counts.values())) > 1:
            words = ", ".join(f"{count} {field}" for field, count in counts.items())
            raise ValueError(f"each band needs one column of each kind, not {words}")
        names = [name for columns in self.columns().values() for name in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"column {twice[0]!r} is given twice")
        if self.keys.get("redshift") in names:
            raise ValueError(
                f"column {self.keys['redshift']!r} is both the redshift and photometry"
            )

    def _check_softening(self) -> None:
        if (self.magnitude_type == "asinh") != (self.softening is not None):
            known = ", ".join(f"{band} {b:g}" for band, b in SDSS_SOFTENING.items())
            raise ValueError(
                "asinh magnitudes, and only they, need softening: b of each band in "
                f"maggies, or `sdss` for {known}"
            )
        if self.softening == "sdss":
            foreign = [band for band in self.bands if band not in SDSS_SOFTENING]
            if foreign:
                raise ValueError(f"softening: SDSS has no band {', '.join(foreign)}")
        elif isinstance(self.softening, tuple) and min(self.softening) <= 0:
            raise ValueError("softening must be positive")

    def _check_zero_point(self) -> None:
        given = self.declared("zero_point", len(self.bands))
        if self.unit not in UNITS and given is None:
            raise ValueError(
                f"fluxes need zero_point, or unit as one of {', '.join(UNITS)}"
            )
        self._check_unit()

    @property
    def values(self) -> Columns:
        """The columns of magnitudes or fluxes."""
        return self.magnitudes or self.fluxes or ()

    @property
    def errors(self) -> Columns:
        """The columns of their errors."""
        return self.magnitude_errors or self.flux_errors or ()

    @property
    def reference(self) -> int:
        """The position of the band whose magnitude stands for the object."""
        if self.reference_band is not None:
            return self.bands.index(self.reference_band)
        return self.bands.index("i") if "i" in self.bands else len(self.bands) // 2

    def columns(self) -> dict[str, Columns]:
        """Returns the columns of photometry by field."""
        fields = ("magnitudes", "magnitude_errors", "fluxes", "flux_errors")
        given = {field: getattr(self, field) for field in fields}
        given["extinction_columns"] = self.extinction_columns
        return {field: columns for field, columns in given.items() if columns}

    def asked(self) -> tuple[str, ...]:
        """Returns the fields that must be declared, or said to be unknown."""
        own = ("magnitude_type",) if self.magnitudes else ()
        return (*own, *super().asked())

    def zero_points(self) -> list[float]:
        """Returns the magnitude of a flux of 1 in each band [mag]."""
        given = self.declared("zero_point", len(self.bands))
        return given or [UNITS[str(self.unit)]] * len(self.bands)

    def softenings(self) -> list[float] | None:
        """Returns b of each band [maggy]; None for Pogson magnitudes."""
        if self.softening == "sdss":
            return [SDSS_SOFTENING[band] for band in self.bands]
        return self.declared("softening", len(self.bands))

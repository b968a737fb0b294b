"""A table of magnitudes or fluxes as its CatalogSpec describes it, in µJy."""

import sys

import numpy as np

from kphotoz.data.flags import flag_photometry
from kphotoz.data.stream import Chunks
from kphotoz.errors import InputError
from kphotoz.features.photometry import (
    classify,
    from_fluxes,
    from_magnitudes,
    to_magnitudes,
)
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.readers.plausibility import (
    check_errors,
    check_kind,
    check_magnitudes,
    tell_magnitudes,
)
from kphotoz.files_in.readers.survey_file import SurveyFile, entry, split_key
from kphotoz.tables import open_table
from kphotoz.tables.cells import numbers

__all__ = ["CatalogFile", "tell_implied"]

# Extinction below this is no extinction but a sentinel; our choice.
_LOWEST_EXTINCTION = -1.0


class CatalogFile(SurveyFile):
    """Photometry and columns of one table.

    Args:
        spec: CatalogSpec. Where things are and what they mean.

    Raises:
        InputError: the table cannot be what the spec says.
    """

    spec: CatalogSpec
    kind, chunk = "catalog", 4096  # rows at once: our choice
    pixel_scale = zero_point = None

    def __init__(self, spec: CatalogSpec) -> None:
        self.spec, self.bands = spec, spec.bands
        self.input_shape = (len(spec.bands), 2)
        self._table = open_table(spec.file)
        first = next(self._table.chunks(self._names(), self.chunk), None)
        if first is None:
            raise InputError(
                f"Wanted: at least one row in {spec.file}. Received: none."
            )
        values, errors, shift = self._cells(*first)
        self._check_against_redshift()
        check_kind(spec, values)
        photometry, _ = self._convert(values, errors, shift)
        check_magnitudes(spec, photometry)
        check_errors(spec, photometry)
        self.implied = tell_magnitudes(spec, photometry)

    def __len__(self) -> int:
        return self._table.count()

    @property
    def names(self) -> list[str]:
        """The columns that the table has."""
        return self._table.names

    def close(self) -> None:
        """Does nothing: the table is closed after each reading."""

    def chunks(self, size: int, start: int = 0) -> Chunks:
        """Yields photometry (m, band, 2) [µJy] from row `start` on."""
        for first, cells in self._table.chunks(self._names(), size, start):
            yield first, *self._convert(*self._cells(first, cells))

    def magnitudes(self, rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Returns the mapped magnitudes, else AB magnitudes in the reference band.

        Args:
            rows: (m,) int. Row numbers.
            inputs: (m, band, 2) float32 [µJy].

        Returns:
            (m,) float64 [mag], NaN where unknown.
        """
        if self.spec.reference_band is None and "magnitude" in self.table:
            return super().magnitudes(rows, inputs)
        return to_magnitudes(inputs)[:, self.spec.reference]

    def _read(self, names: list[str]) -> dict[str, np.ndarray]:
        return self._table.read(names)

    def _names(self) -> list[str]:
        keys = [key for columns in self.spec.columns().values() for key in columns]
        # A name with brackets may be the column's own.
        names = [key if key in self.names else split_key(key)[0] for key in keys]
        return list(dict.fromkeys(names))

    def _check_against_redshift(self) -> None:
        key = self.key("redshift")
        if key is not None and key in (*self.spec.values, *self.spec.errors):
            raise InputError(
                f"Wanted: different columns for redshift and photometry in "
                f"{self.spec.file}. Received: {key!r} for both. Map the redshift "
                "with --key redshift=NAME."
            )

    def _cells(
        self, first: int, cells: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns values, errors and offsets to AB of rows, each (m, band) float64."""
        by_field = {}
        for field, keys in self.spec.columns().items():
            by_field[field] = np.stack(
                [self._numbers(field, key, cells, first) for key in keys], axis=1
            )
        values = by_field["magnitudes" if self.spec.magnitudes else "fluxes"]
        errors = by_field["magnitude_errors" if self.spec.magnitudes else "flux_errors"]
        offset = self.spec.declared("ab_offset", len(self.bands)) or 0.0
        shift = np.broadcast_to(np.asarray(offset, np.float64), values.shape)
        if "extinction_columns" in by_field:
            extinction = by_field["extinction_columns"]
            known = (extinction > _LOWEST_EXTINCTION) & (extinction < 90)
            shift = shift - np.where(known, extinction, np.nan)
        return values, errors, shift

    def _numbers(
        self, field: str, key: str, cells: dict[str, np.ndarray], first: int
    ) -> np.ndarray:
        name, index = (key, None) if key in cells else split_key(key)
        column = entry(cells[name], name, index, field)
        return numbers(column, f"{field} ({key!r} in {self.spec.file})", first)

    def _convert(
        self, values: np.ndarray, errors: np.ndarray, shift: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        spec = self.spec
        measured, _ = classify(values, fluxes=bool(spec.fluxes))
        wrong = measured & (errors <= 0) & (errors > -90)
        if spec.magnitudes:
            limit = spec.maximum_magnitude_error
            if limit is not None:
                values = np.where(measured & (errors > limit), np.nan, values)
            photometry = from_magnitudes(
                values, errors, ab_offset=shift, softening=spec.softenings()
            )
        else:
            photometry = from_fluxes(
                values, errors, spec.zero_points(), ab_offset=shift
            )
        flags = np.full(len(values), "", object)
        flags[wrong.any(axis=1)] = "not_positive_error"
        return photometry, flag_photometry(photometry, flags)


def tell_implied(file: SurveyFile) -> None:
    """Prints what the declared units mean: galaxies 1000 times fainter exist too.

    Args:
        file: SurveyFile. Of images nothing is said.
    """
    if isinstance(file, CatalogFile):
        print(
            f"{file.spec.file.name}: as declared, median AB magnitudes are "
            f"{file.implied}. Are they right?",
            file=sys.stderr,
        )

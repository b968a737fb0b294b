"""Are declared magnitudes magnitudes, fluxes fluxes, and zero points of this world?"""

import numpy as np

from kphotoz.errors import InputError
from kphotoz.features.photometry import classify, to_magnitudes
from kphotoz.files_in.catalog_spec import CatalogSpec

__all__ = ["check_errors", "check_kind", "check_magnitudes", "tell_magnitudes"]

# All limits are our choice; they are wide, so that only a mistake falls outside.
_MAGNITUDES = (5.0, 35.0)  # where the median of a band may lie
_COLOUR = 6.0  # how far the medians of adjacent bands may be apart
_ODD = (0.0, 45.0)  # single magnitudes outside are sentinels, which are few, or fluxes
_ODD_SHARE, _ODD_COUNT = 0.01, 3
_LIKE = (8.0, 40.0)  # where the middle 98 % of magnitudes lie, …
_SPREAD = 2.5  # … the largest of which is never so much larger than the smallest
_ENOUGH = 10  # rows needed to say so, and for a colour: single objects may be odd
# Median |flux|/error in the best band; noise alone has 0.67.
_LEAST_RATIO = 0.5


def check_kind(spec: CatalogSpec, values: np.ndarray) -> None:
    """Checks that magnitudes are not fluxes and the reverse.

    Args:
        spec: CatalogSpec. What was declared.
        values: (n, band) float64. Its magnitudes or fluxes.

    Raises:
        InputError: they look like the other kind.
    """
    if spec.magnitudes:
        for name, column in zip(spec.values, values.T, strict=True):
            odd = column[np.isfinite(column)]
            odd = np.unique(odd[(odd < _ODD[0]) | (odd > _ODD[1])])
            if len(odd) > max(_ODD_COUNT, _ODD_SHARE * len(column)):
                raise InputError(
                    f"Wanted: magnitudes in {name!r} of {spec.file}. Received: "
                    f"{len(odd)} different values outside {_ODD[0]:g}..{_ODD[1]:g}, as "
                    "fluxes have. If they are, say --fluxes and --flux-errors."
                )
    elif all(_like_magnitudes(column) for column in values.T):
        raise InputError(
            f"Wanted: fluxes in {', '.join(spec.values)} of {spec.file}. Received: "
            f"only values of {np.nanmin(values):.4g} to {np.nanmax(values):.4g}, as "
            "magnitudes have. If they are, say --magnitudes and --magnitude-errors."
        )


def _like_magnitudes(column: np.ndarray) -> bool:
    column = column[classify(column, fluxes=True)[0] & (np.abs(column) < 90)]
    if len(column) < _ENOUGH:
        return False
    low, high = np.percentile(column, [1, 99])
    return low > _LIKE[0] and high < _LIKE[1] and high < _SPREAD * low


def check_magnitudes(spec: CatalogSpec, photometry: np.ndarray) -> None:
    """Checks that the AB magnitudes that are text can be those of galaxies.

    Args:
        spec: CatalogSpec. What was declared.
        photometry: (n, band, 2) float32 [µJy].

    Raises:
        InputError: a median magnitude or colour is impossible; says all of them.
    """
    flux, error = photometry[..., 0], photometry[..., 1]
    # What noise alone measured has no magnitude; without an error all counts.
    magnitudes = np.where(flux < error, np.nan, to_magnitudes(photometry))
    medians = [_median(column) for column in magnitudes.T]
    steps = magnitudes[:, :-1] - magnitudes[:, 1:]
    colours = [_median(column, _ENOUGH) for column in steps.T]
    low, high = _MAGNITUDES
    if all(not median < low and not median > high for median in medians):
        if all(not abs(colour) > _COLOUR for colour in colours):
            return
    text = tell_magnitudes(spec, photometry)
    fix = "--ab-offset" if spec.magnitudes else "--unit or --zero-point"
    raise InputError(
        f"Wanted: median AB magnitudes of {low:g} to {high:g} and colours within "
        f"{_COLOUR:g} in {spec.file}. Received: {text}, as what was declared implies. "
        f"Check {fix}, and which columns are what."
    )


def check_errors(spec: CatalogSpec, photometry: np.ndarray) -> None:
    """Checks that errors are smaller than what they are errors of.

    Args:
        spec: CatalogSpec. What was declared.
        photometry: (n, band, 2) float32 [µJy].

    Raises:
        InputError: in no band fluxes exceed what noise alone would have.
    """
    flux, error = photometry[..., 0].T, photometry[..., 1].T
    usable = np.isfinite(flux) & (flux != 0) & (error > 0)
    ratios = [
        float(np.median(np.abs(f[use]) / e[use]))
        for f, e, use in zip(flux, error, usable, strict=True)
        if use.sum() >= _ENOUGH
    ]
    if not ratios or max(ratios) >= _LEAST_RATIO:
        return
    kind = "magnitude" if spec.magnitudes else "flux"
    raise InputError(
        f"Wanted: errors smaller than fluxes in {spec.file}. Received: medians of flux "
        f"over error of at most {max(ratios):.2g}, less than noise alone has. Check "
        f"--{kind}-errors: are columns exchanged, or in another unit?"
    )


def tell_magnitudes(spec: CatalogSpec, photometry: np.ndarray) -> str:
    """Returns the median AB magnitude of each band in words.

    Args:
        spec: CatalogSpec. What was declared.
        photometry: (n, band, 2) float32 [µJy].
    """
    medians = [_median(column) for column in to_magnitudes(photometry).T]
    return ", ".join(
        f"{band} {median:.1f}" if np.isfinite(median) else f"{band} none"
        for band, median in zip(spec.bands, medians, strict=True)
    )


def _median(values: np.ndarray, least: int = 1) -> float:
    """Returns the median of the finite values, NaN where there are fewer than least."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= least else np.nan

"""AB flux densities from magnitudes or fluxes, with what was not seen kept apart.

Photometry is (n, band, 2) float32: flux density and its standard error, both in µJy.
Not observed: both NaN. Not detected: flux 0 and the 1 sigma limit, NaN where the limit
is unknown.
"""

from collections.abc import Sequence

import numpy as np

__all__ = ["ZERO_POINT", "classify", "from_fluxes", "from_magnitudes", "to_magnitudes"]

# AB magnitude of 1 µJy, as in the LSST catalogues: 31.4 for 1 nJy (DPDD, LSE-163).
ZERO_POINT = 23.9
# Catalogues write 99 for "not detected" and -99 or -9999 for "not observed" (BPZ, EAZY,
# LePhare); nothing on the sky has a magnitude beyond 90.
_SENTINEL = 90.0
_MAGNITUDES = (0.0, 45.0)  # what lies outside stands for none, as -9 or 50; our choice
_FLUX_SENTINELS = (-99.0, -999.0, -9999.0, -99999.0)
# BPZ writes the 1 sigma limiting magnitude as the error of a magnitude of 99. What lies
# outside this range is no limit of a survey; our choice.
_LIMITS = (10.0, 40.0)


def classify(values: np.ndarray, *, fluxes: bool = False) -> tuple[np.ndarray, ...]:
    """Returns where values are measured and where they say "not detected".

    All else is not observed.

    Args:
        values: (n, band) float. Magnitudes or fluxes.
        fluxes: bool. Fluxes are only missing where they are NaN, infinite or exactly
            -99, -999, -9999 or -99999, and "not detected" has no sentinel.

    Returns:
        Two (n, band) bool arrays.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    if fluxes:
        measured = finite & ~np.isin(values, _FLUX_SENTINELS)
        return measured, np.zeros_like(measured)
    measured = finite & (values > _MAGNITUDES[0]) & (values < _MAGNITUDES[1])
    return measured, finite & (values >= _SENTINEL)


def from_magnitudes(
    magnitudes: np.ndarray,
    errors: np.ndarray,
    *,
    ab_offset: float | np.ndarray = 0.0,
    softening: float | Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Returns the photometry of magnitudes.

    A magnitude of 90 or more is "not detected"; its error is the limit if that is a
    magnitude in 10..40. Other magnitudes outside 0..45, NaN, infinite ones and those
    without a positive error are not observed.

    Args:
        magnitudes: (n, band) float [mag].
        errors: (n, band) float [mag].
        ab_offset: float or (band,) [mag]. AB magnitude minus the given one.
        softening: float or (band,) or None [maggy]. The b of asinh magnitudes, whose
            unit is the flux of magnitude 0. [default: Pogson magnitudes]

    Returns:
        (n, band, 2) float32 [µJy].

    Source: Lupton, Gunn and Szalay 1999, AJ 118, 1406, equations 3 and 5.
    """
    magnitudes = np.asarray(magnitudes, np.float64)
    errors = np.asarray(errors, np.float64)
    measured, undetected = classify(magnitudes)
    with np.errstate(all="ignore"):
        unit = 10.0 ** (0.4 * (ZERO_POINT - np.asarray(ab_offset, np.float64)))
        given, sigma = np.where(measured, magnitudes, 0.0), errors * np.log(10) / 2.5
        if softening is None:
            flux = unit * 10.0 ** (-0.4 * given)
            error = flux * sigma
        else:
            b = np.asarray(softening, np.float64)
            argument = -given * np.log(10) / 2.5 - np.log(b)
            flux = unit * 2 * b * np.sinh(argument)
            error = unit * 2 * b * np.cosh(argument) * sigma
        limit = np.where(
            (errors >= _LIMITS[0]) & (errors <= _LIMITS[1]),
            unit * 10.0 ** (-0.4 * np.where(undetected, errors, 0.0)),
            np.nan,
        )
    return _join(flux, error, measured, undetected, limit)


def from_fluxes(
    fluxes: np.ndarray,
    errors: np.ndarray,
    zero_point: float | Sequence[float] | np.ndarray,
    *,
    ab_offset: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Returns the photometry of fluxes, which may be negative.

    A flux that is NaN, infinite or a sentinel, or has no positive error, is not
    observed.

    Args:
        fluxes: (n, band) float.
        errors: (n, band) float, in the same unit.
        zero_point: float or (band,) [mag]. Magnitude of a flux of 1.
        ab_offset: float or (band,) [mag]. AB magnitude minus the given one.

    Returns:
        (n, band, 2) float32 [µJy].
    """
    measured, undetected = classify(fluxes, fluxes=True)
    zero_point = np.asarray(zero_point, np.float64) + np.asarray(ab_offset, np.float64)
    with np.errstate(all="ignore"):
        scale = 10.0 ** (0.4 * (ZERO_POINT - zero_point))
        flux = np.asarray(fluxes, np.float64) * scale
        error = np.asarray(errors, np.float64) * scale
    return _join(flux, error, measured, undetected, np.nan)


def to_magnitudes(photometry: np.ndarray) -> np.ndarray:
    """Returns AB magnitudes; NaN where the flux is not positive or not observed.

    Args:
        photometry: (n, band, 2) float [µJy].

    Returns:
        (n, band) float64 [mag].
    """
    flux = np.asarray(photometry, np.float64)[..., 0]
    flux = np.where(flux > 0, flux, np.nan)
    return ZERO_POINT - 2.5 * np.log10(flux)


def _join(
    flux: np.ndarray,
    error: np.ndarray,
    measured: np.ndarray,
    undetected: np.ndarray,
    limit: np.ndarray | float,
) -> np.ndarray:
    with np.errstate(all="ignore"):
        photometry = np.stack([flux, error], axis=-1).astype(np.float32)
        usable = measured & np.isfinite(photometry).all(axis=-1)
        usable &= photometry[..., 1] > 0
        photometry[~usable] = np.nan
        photometry[undetected, 0] = 0.0
        limits = np.broadcast_to(np.asarray(limit, np.float32), undetected.shape)
    photometry[undetected, 1] = limits[undetected]
    return photometry

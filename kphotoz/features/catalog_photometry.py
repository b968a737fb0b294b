"""Asinh magnitudes, colours, errors and masks of catalogue fluxes."""

from collections.abc import Sequence

import numpy as np

__all__ = [
    "catalog_feature_names",
    "catalog_photometry",
    "count_object_features",
    "fill_magnitudes",
    "flux_softening",
]

# Magnitudes per natural logarithm of flux.
_POGSON = 2.5 / np.log(10.0)
# AB magnitude of a flux of 1 uJy.
_ZERO_POINT = 23.9


def flux_softening(photometry: np.ndarray) -> np.ndarray:
    """Returns the asinh softening of each band: its median flux error.

    A band without a known error gets a hundredth of its median flux, our choice, and
    one without any flux 1 uJy.

    Args:
        photometry: float array `(n, band, 2)`, flux and error [uJy], NaN where none.

    Returns:
        float64 array `(band,)` [uJy].

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406: b is chosen of the order of the
    noise.
    """
    photometry = np.asarray(photometry, "float64")
    softening = np.ones(photometry.shape[1])
    for band in range(len(softening)):
        for values, share in (
            (photometry[:, band, 1], 1),
            (photometry[:, band, 0], 0.01),
        ):
            values = values[np.isfinite(values) & (values > 0)]
            if values.size:
                softening[band] = share * np.median(values)
                break
    return softening


def catalog_photometry(
    photometry: np.ndarray,
    softening: Sequence[float] | np.ndarray,
    fill: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Returns asinh magnitudes, adjacent colours, errors and masks, band by band.

    The asinh magnitude of flux f is ``23.9 - 2.5 / ln 10 * (arcsinh(f / 2b) + ln b)``
    and its error ``2.5 / ln 10 * e / sqrt(f^2 + 4 b^2)``. Where a band was not observed
    its magnitude is that of `fill`, its error 0 and its mask 0; an unknown error of an
    observed flux is taken as b.

    Args:
        photometry: float array `(n, band, 2)`, flux and error [uJy], NaN where none.
        softening: sequence of float > 0, one per band. b [uJy].
        fill: sequence of float, one per band [mag]. [default: NaN, to see what is
            missing]

    Returns:
        float32 array `(n, 4 * band - 1)`: magnitudes, colours (each band minus the
        next), errors, masks.

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406, equations 3 and 9.
    """
    photometry = np.asarray(photometry, "float64")
    b = np.asarray(softening, "float64")
    flux, error = photometry[..., 0], photometry[..., 1]
    measured = np.isfinite(flux)
    magnitude = _ZERO_POINT - _POGSON * (np.arcsinh(flux / (2 * b)) + np.log(b))
    nothing = np.full(len(b), np.nan) if fill is None else np.asarray(fill, "float64")
    magnitude = np.where(measured, magnitude, nothing)
    error = np.where(np.isfinite(error), error, b)
    error = np.where(measured, _POGSON * error / np.hypot(flux, 2 * b), 0.0)
    colours = magnitude[:, :-1] - magnitude[:, 1:]
    columns = [magnitude, colours, error, measured]
    return np.concatenate(columns, axis=1).astype("float32")


def fill_magnitudes(
    photometry: np.ndarray, softening: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Returns the median asinh magnitude of each band, which stands for missing ones.

    A band that no object has gets 0.

    Args:
        photometry: float array `(n, band, 2)`, flux and error [uJy], NaN where none.
        softening: sequence of float > 0, one per band [uJy].
    """
    magnitude = catalog_photometry(photometry, softening)[:, : len(softening)]
    values = (column[np.isfinite(column)] for column in magnitude.T)
    return np.array([np.median(v) if v.size else 0.0 for v in values])


def catalog_feature_names(bands: Sequence[str]) -> list[str]:
    """Returns the names of the columns of `catalog_photometry`, in order.

    Args:
        bands: sequence of str. Band order of the catalogue.
    """
    colours = [f"{a}-{b}" for a, b in zip(bands[:-1], bands[1:], strict=True)]
    errors = [f"{band}_error" for band in bands]
    return [*bands, *colours, *errors, *(f"{band}_seen" for band in bands)]


def count_object_features(bands: Sequence[str]) -> int:
    """Returns how many of those names, from the first on, are about the objects.

    They are magnitudes and colours; errors and masks tell how deep a catalogue is.

    Args:
        bands: sequence of str. Band order of the catalogue.
    """
    return 2 * len(bands) - 1

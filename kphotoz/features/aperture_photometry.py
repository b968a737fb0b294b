"""Luptitudes, colours and concentrations in fixed circular apertures."""

from collections.abc import Sequence

import numpy as np

__all__ = ["RADII", "aperture_masks", "aperture_photometry", "feature_names"]

# Our choice [pixels]: about a seeing radius, the half-light radius of typical galaxies
# and nearly all of the light, for surveys with 3 to 5 pixels per seeing width.
RADII = (2.5, 4.5, 8.0)

# Magnitudes per natural logarithm of flux.
_POGSON = 2.5 / np.log(10.0)


def aperture_masks(height: int, width: int, radii: Sequence[float]) -> np.ndarray:
    """Returns 1 where a pixel's centre lies within the radius of the image centre.

    Args:
        height: int. Rows [pixels].
        width: int. Columns [pixels].
        radii: sequence of float, increasing [pixels].

    Returns:
        float32 array `(height, width, aperture)`.
    """
    rows = np.arange(height)[:, None] - (height - 1) / 2
    columns = np.arange(width)[None, :] - (width - 1) / 2
    distance2 = rows**2 + columns**2
    squares = np.square(np.asarray(radii, "float64"))
    return (distance2[..., None] <= squares).astype("float32")


def aperture_photometry(
    images: np.ndarray,
    softening: Sequence[float] | np.ndarray,
    radii: Sequence[float] = RADII,
) -> np.ndarray:
    """Returns luptitudes, colours and concentrations of centred objects.

    The luptitude of flux f in an aperture of N pixels is
    ``-2.5 / ln 10 * (arcsinh(f / 2b) + ln b)`` with ``b = softening * sqrt(N)``, the
    noise of the sum. The columns are the luptitudes of the middle aperture, then for
    each band but the last the colours with all later bands in each aperture, then for
    each adjacent pair of apertures the concentrations (smaller minus larger aperture).

    Args:
        images: float array `(n, height, width, band)`, survey flux units.
        softening: sequence of float > 0, one per band. Noise of a pixel.
        radii: sequence of float, increasing [pixels]. [default: 2.5, 4.5, 8]

    Returns:
        float32 array `(n, feature)` [mag, zero point 0].

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406, equation 3 with the zero-point
    term ln b.
    """
    images = np.asarray(images, "float32")
    count, height, width, band = images.shape
    masks = aperture_masks(height, width, radii).reshape(-1, len(radii))
    flux = np.einsum("npb,pa->nab", images.reshape(count, -1, band), masks)
    noise = np.sqrt(masks.sum(axis=0))[:, None] * np.asarray(softening, "float64")
    luptitude = -_POGSON * (np.arcsinh(flux / (2 * noise)) + np.log(noise))
    middle = luptitude[:, len(radii) // 2]
    columns = [middle]
    for first in range(band - 1):
        colours = luptitude[:, :, first, None] - luptitude[:, :, first + 1 :]
        columns.append(colours.reshape(count, -1))
    columns.append((luptitude[:, :-1] - luptitude[:, 1:]).reshape(count, -1))
    return np.concatenate(columns, axis=1).astype("float32")


def feature_names(bands: Sequence[str], radii: Sequence[float] = RADII) -> list[str]:
    """Returns the names of the columns of `aperture_photometry`, in order.

    Args:
        bands: sequence of str. Band order of the images.
        radii: sequence of float [pixels].
    """
    middle = radii[len(radii) // 2]
    names = [f"{band}_{middle:g}px" for band in bands]
    for first, band in enumerate(bands[:-1]):
        later = bands[first + 1 :]
        names += [f"{band}-{other}_{radius:g}px" for radius in radii for other in later]
    for inner, outer in zip(radii[:-1], radii[1:], strict=True):
        names += [f"{band}_{inner:g}px-{outer:g}px" for band in bands]
    return names

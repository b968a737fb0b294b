"""Measures fluxes as a survey's catalogue holds them: total, with noise, no pixels.

The measurement is our choice, the simplest that a depth table determines: a matched
filter. Galaxy and seeing are taken as round Gaussians, so that the noise-equivalent
area is 2.266 (FWHM^2 + (2 r)^2) for a half-light radius r: half the width of a Gaussian
holds half its light. A point source is measured at the depth of the table, and a
galaxy's error grows with its size. Noise is that of the sky alone, and of no neighbour.
"""

import dataclasses

import numpy as np

__all__ = ["ZERO_POINT", "Aperture"]

ZERO_POINT = 23.9  # AB magnitude of 1 uJy


@dataclasses.dataclass(frozen=True)
class Aperture:
    """How fluxes are measured.

    Args:
        fwhm: tuple of float, arcsec. Seeing in each band.
        depth: tuple of float, AB magnitude of a point source at 5 sigma in each band.
        zero_point: float. AB magnitude of one count of the fluxes that are measured.
            [default: 27]
    """

    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    zero_point: float = 27.0

    def error(self, radius: np.ndarray) -> np.ndarray:
        """Returns the standard error of fluxes in microjansky.

        Args:
            radius: array (n,), arcsec. Half-light radii; 0 for point sources.

        Returns:
            float64 array (n, band).
        """
        limit = 10 ** (-0.4 * (np.array(self.depth) - ZERO_POINT)) / 5
        widths = 2 * np.asarray(radius, float)[:, None] / np.array(self.fwhm)
        return limit * np.hypot(1, widths)

    def measure(
        self, flux: np.ndarray, radius: np.ndarray, deviate: np.ndarray
    ) -> np.ndarray:
        """Returns measured fluxes and their errors in microjansky.

        Args:
            flux: array (n, band). True total fluxes in counts.
            radius: array (n,), arcsec. Half-light radii.
            deviate: array (n, band). Standard normal numbers: the noise in units of the
                error.

        Returns:
            float32 array (n, band, 2).
        """
        error = self.error(radius)
        true = np.asarray(flux) * 10 ** (-0.4 * (self.zero_point - ZERO_POINT))
        return np.stack([true + error * deviate, error], -1).astype("float32")

"""Photometric redshifts as surveys get them: many bands, someone else's templates.

The galaxies are made of kcorrect's templates and fitted with interpolated
Coleman-Wu-Weedman types, so the errors follow colour and grow with magnitude, as those
of real catalogues do. The bands imitate COSMOS2020: u, HSC grizy, twelve Subaru
medium bands, and near-infrared bands in place of UltraVISTA's.
"""

import dataclasses
import functools

import numpy as np

from kphotoz_datasets.simulate import spectra

__all__ = ["DEPTHS", "TemplateFit", "observe"]

# Filter -> 5 sigma depth, AB, 2 arcsec: Weaver et al. 2022, ApJS 258, 11, table 1 is 3
# sigma; these are recollected and rounded, hence ours.
DEPTHS = {
    "cfht_megacam-u": 27.2,
    "hsc2017-g": 27.5,
    "hsc2017-r2": 27.2,
    "hsc2017-i2": 27.0,
    "hsc2017-z": 26.6,
    "hsc2017-y": 25.9,
    "suprime-IB427": 25.5,
    "suprime-IB464": 25.0,
    "suprime-IB484": 25.5,
    "suprime-IB505": 25.2,
    "suprime-IB527": 25.5,
    "suprime-IB574": 25.2,
    "suprime-IB624": 25.2,
    "suprime-IB679": 25.0,
    "suprime-IB709": 25.2,
    "suprime-IB738": 25.0,
    "suprime-IB767": 25.0,
    "suprime-IB827": 25.0,
    "Euclid-Y": 24.8,
    "twomass-J": 24.6,
    "twomass-H": 24.3,
    "twomass-Ks": 24.4,
}
FLOOR = 0.05  # relative flux error added for the templates' own errors (our choice)
EVERY = 2  # step through the redshift grid, so 0.005 in ln(1 + z)


def observe(flux: np.ndarray, rng: np.random.Generator) -> tuple:
    """Returns noisy fluxes and their errors.

    Args:
        flux: array (n, filter), zero point 27, filters in the order of `DEPTHS`.
        rng: numpy Generator.

    Returns:
        Two arrays (n, filter), zero point 27.
    """
    depth = np.array(list(DEPTHS.values()))
    sky = 10 ** (-0.4 * (depth - 27.0)) / 5
    error = np.hypot(sky, 0.01 * flux)  # 1 %: photometric calibration (our choice)
    return flux + error * rng.standard_normal(flux.shape), error


@dataclasses.dataclass(frozen=True)
class TemplateFit:
    """Fits fluxes with types on a redshift grid; one instance serves a whole survey.

    Args:
        models: array (redshift * type, filter), each of unit norm.
        redshift: array (redshift,).
        zero_points: array (filter,): factors that fluxes are divided by.
    """

    models: np.ndarray
    redshift: np.ndarray
    zero_points: np.ndarray

    @classmethod
    def create(cls) -> "TemplateFit":
        """Returns the fit with the types' fluxes, not yet calibrated."""
        redshift, models = _models()
        return cls(models, redshift, np.ones(len(DEPTHS)))

    def calibrated(
        self, flux: np.ndarray, error: np.ndarray, z: np.ndarray
    ) -> "TemplateFit":
        """Returns the fit with a zero point for each band, from galaxies of known z.

        Args:
            flux, error: arrays (n, filter).
            z: array (n,). True redshifts.

        Source: the usual iteration, as Ilbert et al. 2006, A&A 457, 841, section 4.1.
        """
        fit = self
        types = len(self.models) // len(self.redshift)
        nearest = abs(np.log1p(z)[:, None] - np.log1p(self.redshift)).argmin(1)
        at_z = self.models.reshape(len(self.redshift), types, -1)[nearest]
        for _ in range(3):
            measured = flux / fit.zero_points
            weight = 1 / (error**2 + (FLOOR * flux) ** 2)
            cross = np.einsum("ntf,nf->nt", at_z, measured * weight)
            norm = np.einsum("ntf,nf->nt", at_z**2, weight)
            best = (cross**2 / norm).argmax(1)
            rows = np.arange(len(z))
            model = at_z[rows, best] * (cross / norm)[rows, best, None]
            factor = np.median(measured / np.maximum(model, 1e-30), axis=0)
            fit = dataclasses.replace(fit, zero_points=fit.zero_points * factor)
        return fit

    def __call__(
        self, flux: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns redshifts and their errors, from the density summed over types.

        Args:
            flux, error: arrays (n, filter), zero point 27.

        Returns:
            Two arrays (n,): the median of the density of redshift, and half the
            distance between its 16 % and 84 % points.
        """
        parts = [
            self._some(flux[i : i + 500], error[i : i + 500])
            for i in range(0, len(flux), 500)
        ]
        z, width = (np.concatenate(column) for column in zip(*parts, strict=True))
        return z, width

    def _some(self, flux, error):
        measured = flux / self.zero_points
        weight = (1 / (error**2 + (FLOOR * flux) ** 2)).astype("float32")
        scaled = (measured * weight).astype("float32")
        cross = np.maximum(scaled @ self.models.T, 0)
        gain = cross**2 / (weight @ (self.models**2).T)  # chi2 of no model - chi2
        gain -= gain.max(1, keepdims=True)
        density = np.exp(gain / 2).reshape(len(flux), len(self.redshift), -1).sum(2)
        # A flat prior in ln(1 + z) up to where the sample's redshifts thin out, then an
        # exponential fall (our choice, as photo-z codes' magnitude priors do).
        density = density * np.exp(-np.maximum(self.redshift - 1.0, 0) / 0.6)
        total = np.cumsum(density, 1)
        total /= total[:, -1:]
        grid = np.log1p(self.redshift)
        low, middle, high = (
            np.array([np.interp(q, row, grid) for row in total])
            for q in (0.16, 0.5, 0.84)
        )
        z = np.expm1(middle)
        return z, np.maximum((high - low) / 2, 0.002) * (1 + z)


@functools.cache
def _models() -> tuple[np.ndarray, np.ndarray]:
    table = spectra.band_table(spectra.observed_types(), tuple(DEPTHS))
    redshift = table.redshift[4::EVERY]
    models = table.flux[4::EVERY].reshape(-1, len(DEPTHS))
    models = models / np.linalg.norm(models, axis=1, keepdims=True)
    return redshift, models.astype("float32")

"""Spectral templates and their fluxes through filters at any redshift.

Spectra live on one grid, uniform in ln(wavelength), so that a redshift is a shift by a
whole number of pixels and a band flux is one row of a matrix product.
"""

import dataclasses
import functools
import importlib.util
import pathlib

import numpy as np

from kphotoz_datasets.simulate import igm

__all__ = ["BandTable", "band_table", "kcorrect_templates", "observed_types"]

STEP = 5e-4  # in ln(wavelength), about 2 Angstrom in g (our choice)
SHIFT = 5  # pixels a step of the redshift grid, so 0.0025 in ln(1 + z)
BETWEEN = 8  # steps from one observed type to the next
REDSHIFTS = 700  # steps of the redshift grid, to z = 4.74
OBSERVED = (2900.0, 24500.0)  # Angstrom
LIGHT = 2.99792458e18  # Angstrom per second
ESCAPE = 0.02  # of the light below the Lyman limit that leaves a galaxy (our choice)


def _grid() -> tuple[np.ndarray, int]:
    """Returns the wavelengths (Angstrom) and the index of the first observed one."""
    ahead = SHIFT * (REDSHIFTS - 1)
    count = int(np.log(OBSERVED[1] / OBSERVED[0]) / STEP)
    steps = np.arange(-ahead, count)
    return OBSERVED[0] * np.exp(STEP * steps), ahead


def _rebin(wavelength: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Returns spectra (n, pixels) averaged over the pixels of the grid, 0 outside."""
    centres, _ = _grid()
    edges = np.append(centres, centres[-1] * np.exp(STEP)) * np.exp(-STEP / 2)
    steps = np.diff(wavelength) * (flux[:, 1:] + flux[:, :-1]) / 2
    total = np.concatenate([np.zeros((len(flux), 1)), np.cumsum(steps, 1)], 1)
    at_edges = np.stack([np.interp(edges, wavelength, row) for row in total])
    spectra = np.diff(at_edges, axis=1) / np.diff(edges)
    return spectra * np.where(centres < igm.LYMAN_LIMIT, ESCAPE, 1.0)


@functools.cache
def kcorrect_templates() -> np.ndarray:
    """Returns kcorrect's five templates on the grid.

    Returns:
        array (5, pixels): erg/s/cm2/Angstrom at 10 pc for one solar mass of stars.

    Source: Blanton & Roweis 2007, AJ 133, 734; data file of the kcorrect package,
        read without importing it (that takes seconds).
    """
    from astropy.io import fits

    spec = importlib.util.find_spec("kcorrect")
    assert spec and spec.origin  # setup.cfg requires it
    folder = pathlib.Path(spec.origin).parent
    table = fits.getdata(folder / "data/templates/kcorrect-default-v4.fits", "FLUX")
    return _rebin(table["wave"][0].astype(float), table["flux"][0].astype(float))


@functools.cache
def observed_types() -> np.ndarray:
    """Returns observed galaxy types on the grid, interpolated, bluer and reddened.

    The four Coleman, Wu & Weedman types are interpolated in log flux, the irregular is
    continued to bluer slopes, the elliptical is mixed with blue types, and types from
    Sbc on also come with dust.

    Returns:
        array (types, pixels): relative flux per Angstrom.

    Source: Coleman, Wu & Weedman 1980, as shipped by GalSim; dust: Calzetti et al.
        2000, ApJ 533, 682, equation 4; slopes, shares and reddening are our choice.
    """
    import galsim.meta_data

    folder = pathlib.Path(galsim.meta_data.share_dir) / "SEDs"
    wavelength, _ = _grid()
    anchors = []
    for name in ("E", "Sbc", "Scd", "Im"):
        table = np.loadtxt(folder / f"CWW_{name}_ext.sed")
        anchors.append(_rebin(table[:, 0], table[None, :, 1])[0])
    logs = np.log(np.maximum(anchors, 1e-12))
    position = np.linspace(0, 3, 3 * BETWEEN + 1)
    left = np.minimum(position.astype(int), 2)
    part = (position - left)[:, None]
    types = np.exp((1 - part) * logs[left] + part * logs[left + 1])
    blue = wavelength / 5000.0
    extra = np.stack([types[-1] * blue**slope for slope in (-0.4, -0.8, -1.2)])
    # Old and young stars in one galaxy; the anchors are within a factor 1.7
    # of each other at 5500 Angstrom.
    share = np.array([0.1, 0.2, 0.35, 0.5, 0.65, 0.8])[:, None]
    pairs = [share * types[0] + (1 - share) * young for young in (types[-1], extra[1])]
    types = np.concatenate([types, extra, *pairs])
    dusty = types[BETWEEN::2]
    attenuation = 10 ** (-0.4 * _calzetti(wavelength))
    return np.concatenate([types, *(dusty * attenuation**e for e in (0.1, 0.2, 0.35))])


def _calzetti(wavelength: np.ndarray) -> np.ndarray:
    """Returns the attenuation in magnitudes for E(B-V) = 1."""
    inverse = 1e4 / np.clip(wavelength, 1200.0, 22000.0)
    blue = -2.156 + 1.509 * inverse - 0.198 * inverse**2 + 0.011 * inverse**3
    red = -1.857 + 1.040 * inverse
    return 2.659 * np.where(wavelength < 6300, blue, red) + 4.05


@dataclasses.dataclass(frozen=True)
class BandTable:
    """Fluxes of templates through filters on a grid of redshifts.

    Args:
        filters: tuple of str. speclite's filter names.
        redshift: array (redshift,), uniform in ln(1 + z) from 0.
        flux: array (redshift, template, filter): flux per Hz, erg/s/cm2/Hz for
            templates at 10 pc. Distance is not in it, the factor 1 / (1 + z) is.
    """

    filters: tuple[str, ...]
    redshift: np.ndarray
    flux: np.ndarray

    def at(self, z: np.ndarray) -> np.ndarray:
        """Returns fluxes (n, template, filter), linear in ln(1 + z)."""
        place = np.clip(np.log1p(z) / (SHIFT * STEP), 0, REDSHIFTS - 1.001)
        left = place.astype(int)
        part = (place - left)[:, None, None]
        return (1 - part) * self.flux[left] + part * self.flux[left + 1]


def band_table(templates: np.ndarray, filters: tuple[str, ...]) -> BandTable:
    """Returns the table of AB fluxes, with absorption by the intergalactic medium.

    Args:
        templates: array (template, pixels) on this module's grid.
        filters: tuple of str. speclite's filter names, such as "hsc2017-g".
    """
    wavelength, ahead = _grid()
    observed = wavelength[ahead:]
    redshift = np.expm1(SHIFT * STEP * np.arange(REDSHIFTS))
    passed = igm.transmission(redshift, observed)
    weights = _filter_weights(filters, observed)
    flux = np.empty((REDSHIFTS, len(templates), len(filters)))
    for k in range(REDSHIFTS):
        start = ahead - SHIFT * k
        part = templates[:, start : start + len(observed)] * passed[k]
        flux[k] = part @ weights / (1 + redshift[k])
    return BandTable(tuple(filters), redshift, flux)


def _filter_weights(filters: tuple[str, ...], observed: np.ndarray) -> np.ndarray:
    """Returns (pixels, filter): the sum of weight * f_lambda is flux per Hz."""
    import speclite.filters

    columns = []
    for name in filters:
        curve = speclite.filters.load_filter(name)
        response = np.interp(observed, curve.wavelength, curve.response, 0.0, 0.0)
        columns.append(response * observed**2 / (LIGHT * response.sum()))
    return np.stack(columns, 1)

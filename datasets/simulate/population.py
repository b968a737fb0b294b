"""Draws galaxies: redshift, luminosity, spectrum, shape.

A *field* is a patch of sky of fixed area with a random stream of its own. Surveys are
read off field by field, so that a larger count of the same seed contains the smaller.

Two classes, blue and red, each with a Schechter luminosity function in the B band and
Dirichlet-distributed weights of the five kcorrect templates. Their parameters are the
defaults of galsbi's ucat configuration (MIT licence; Tortorelli et al. 2020, Herbel et
al. 2017). Sizes follow Shen et al. 2003; their coefficients and those of bulges and
axis ratios are recollected or chosen, see the README of the survey.
"""

import dataclasses
import functools

import numpy as np
from astropy import units
from astropy.cosmology import FlatLambdaCDM

from kphotoz_datasets.simulate import spectra

__all__ = ["BLUE", "RED", "Population", "draw_field", "schechter_density"]

REST_FILTERS = ("bessell-B", "sdss2010-r")
REFERENCE = 4  # i, among the rest-frame filters and grizy
OLD_TEMPLATES = (0, 3)  # the two without ultraviolet light
ZERO_POINT = 27.0  # of the counts, as HSC's coadds
FAINTEST = 1e-5  # of L*: nothing fainter enters (our choice)


@dataclasses.dataclass(frozen=True)
class Population:
    """One class of galaxies; see the module for the source of the numbers."""

    slope: float
    magnitude: tuple[float, float]
    density: tuple[float, float]
    concentration: float
    weights: tuple[float, ...]
    red: bool

    def characteristic(self, z: np.ndarray) -> np.ndarray:
        """Returns M* in the B band (AB) at redshift `z`."""
        return self.magnitude[0] + self.magnitude[1] * np.minimum(z, 2.5)

    def normalisation(self, z: np.ndarray) -> np.ndarray:
        """Returns phi* per cubic megaparsec at redshift `z`."""
        return self.density[0] * np.exp(self.density[1] * z)


BLUE = Population(
    -1.3,
    (-20.40492365, -0.9408582),
    (0.00370253, -0.10268436),
    1.9946,
    (3.47116583e9, 3.31262983e6, 2.13298069e9, 1.63722853e10, 1.01368664e9),
    red=False,
)
RED = Population(
    -0.5,
    (-20.37196157, -0.70798041),
    (0.0035097, -0.70596888),
    1.6216,
    (3.84729278e9, 1.56768931e6, 3.91242928e8, 4.66363319e10, 3.03275998e7),
    red=True,
)


@functools.cache
def _cosmology() -> dict[str, np.ndarray]:
    """Returns distances and volumes on the redshift grid of the flux tables."""
    model = FlatLambdaCDM(H0=70, Om0=0.3)
    edges = np.expm1(spectra.SHIFT * spectra.STEP * np.arange(1, spectra.REDSHIFTS))
    centres = np.sqrt((1 + edges[1:]) * (1 + edges[:-1])) - 1
    volume = np.diff(model.comoving_volume(edges).to_value(units.Mpc**3))
    square_degrees = 4 * np.pi * (180 / np.pi) ** 2
    return {
        "edges": edges,
        "centres": centres,
        "volume": volume / square_degrees,
        "modulus": model.distmod(edges).value,
        "kpc_per_arcsec": 1 / model.arcsec_per_kpc_proper(edges).value,
    }


@functools.cache
def _cumulative(slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns ln(L/L*) ascending and the Schechter integral above it."""
    log = np.linspace(np.log(FAINTEST), np.log(40.0), 6000)
    value = np.exp((slope + 1) * log - np.exp(log))
    steps = (value[1:] + value[:-1]) / 2 * np.diff(log)
    return log, np.append(np.cumsum(steps[::-1])[::-1], 0.0)


def schechter_density(slope: float, faintest: np.ndarray) -> np.ndarray:
    """Returns the number of galaxies above a luminosity, in units of phi*.

    Args:
        slope: float. Faint-end slope alpha.
        faintest: array. L / L*.

    Source: Schechter 1976, ApJ 203, 297: the incomplete gamma function
        Gamma(alpha + 1, L / L*).
    """
    log, above = _cumulative(slope)
    return np.interp(np.log(faintest), log, above)


def draw_luminosities(
    population: Population, faintest: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns L / L* drawn above `faintest`, one for each entry."""
    log, above = _cumulative(population.slope)
    share = rng.random(len(faintest)) * schechter_density(population.slope, faintest)
    return np.exp(np.interp(-share, -above, log))


def draw_field(
    table: spectra.BandTable, area: float, limit: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Returns the galaxies of one field, in random order.

    Args:
        table: BandTable of the kcorrect templates through `REST_FILTERS`, then g, r, i,
            z and y of the survey.
        area: float, square degrees.
        limit: float. Faintest total AB magnitude in i.
        rng: numpy Generator.

    Returns:
        dict of arrays (n, ...): `z`, `red`, `light` (template; its product with a
            `BandTable.at(z)` is flux), `flux` (band; counts, zero point 27),
        `old_flux` (band; the part from old templates), `magnitude` (i, AB), `radius`
        (half-light, arcsec), `bulge` (fraction), `axis_ratio`, `angle` (radian).
    """
    parts = [
        _draw_class(table, population, area, limit, rng) for population in (BLUE, RED)
    ]
    field = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = rng.permutation(len(field["z"]))
    return {name: values[order] for name, values in field.items()}


def _draw_class(
    table: spectra.BandTable,
    population: Population,
    area: float,
    limit: float,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    cosmos = _cosmology()
    weights = np.asarray(population.weights)
    shell, z = _draw_redshifts(table, population, area, limit, rng)
    faintest = _faintest(table, population, limit)[shell]
    luminosity = draw_luminosities(population, faintest, rng)
    absolute = population.characteristic(z) - 2.5 * np.log10(luminosity)
    mix = rng.standard_gamma(population.concentration, (len(z), 5)) * weights
    mix /= (mix * table.flux[0, :, 0]).sum(1, keepdims=True)  # flux 1 in B at rest
    modulus = np.interp(z, cosmos["edges"], cosmos["modulus"])
    scale = 10 ** (-0.4 * (absolute + modulus - ZERO_POINT))
    in_i = _one_filter(table, z, REFERENCE)
    bright = scale * (mix * in_i).sum(1) > 10 ** (-0.4 * (limit - ZERO_POINT))
    z, absolute, mix, scale = z[bright], absolute[bright], mix[bright], scale[bright]
    fluxes = table.at(z)
    if population.red:
        mix = _redden(mix, fluxes[:, :, REFERENCE], rng)
    light = mix * scale[:, None]
    rest = -2.5 * np.log10(mix @ table.flux[0, :, :2])
    survey = light[:, :, None] * fluxes[:, :, len(REST_FILTERS) :]
    total = survey.sum(1)
    return {
        "z": z,
        "red": np.full(len(z), population.red),
        "light": light,
        "flux": total,
        "old_flux": survey[:, OLD_TEMPLATES, :].sum(1),
        "magnitude": ZERO_POINT
        - 2.5 * np.log10(total[:, REFERENCE - len(REST_FILTERS)]),
        **_draw_shapes(population.red, z, absolute + rest[:, 1] - rest[:, 0], rng),
    }


def _faintest(
    table: spectra.BandTable, population: Population, limit: float
) -> np.ndarray:
    """Returns, for each shell, L / L* below which no template reaches the limit."""
    cosmos = _cosmology()
    z = cosmos["centres"]
    ratio = _one_filter(table, z, REFERENCE) / table.flux[0, :, 0]
    modulus = np.interp(z, cosmos["edges"], cosmos["modulus"])
    absolute = limit - modulus + 2.5 * np.log10(ratio.max(1)) + 0.05
    faintest = 10 ** (-0.4 * (absolute - population.characteristic(z)))
    return np.clip(faintest, FAINTEST, 39.0)


def _one_filter(table: spectra.BandTable, z: np.ndarray, number: int) -> np.ndarray:
    part = spectra.BandTable(
        table.filters[number : number + 1],
        table.redshift,
        table.flux[:, :, number : number + 1],
    )
    return part.at(z)[:, :, 0]


def _draw_redshifts(table, population, area, limit, rng):
    cosmos = _cosmology()
    z = cosmos["centres"]
    density = population.normalisation(z) * schechter_density(
        population.slope, _faintest(table, population, limit)
    )
    counts = rng.poisson(area * cosmos["volume"] * density)
    shell = np.repeat(np.arange(len(z)), counts)
    low, high = cosmos["edges"][shell], cosmos["edges"][shell + 1]
    return shell, low + (high - low) * rng.random(len(shell))


def _redden(mix: np.ndarray, in_i: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the mixes with the red sequence moved to where HSC sees it.

    The templates' mixes are too blue (95th percentile of g-z at z = 0.45: 2.69 against
    3.11); for a random half the young templates are suppressed at equal i flux.
    """
    changed = mix.copy()
    changed[:, [1, 2, 4]] *= rng.uniform(0, 0.3, (len(mix), 3))
    changed[:, 0] *= rng.uniform(0.5, 2.5, len(mix))
    changed *= ((mix * in_i).sum(1) / (changed * in_i).sum(1))[:, None]
    return np.where(rng.random((len(mix), 1)) < 0.5, changed, mix)


def _draw_shapes(
    red: bool, z: np.ndarray, absolute: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Returns sizes and shapes; `absolute` is the rest-frame r magnitude.

    Source: Shen et al. 2003, MNRAS 343, 978, equations 14 and 15, with evolution as
        (1 + z)^-0.75 and ^-1.2 of our choice.
    """
    n = len(z)
    spread = 0.27 + (0.45 - 0.27) / (1 + 10 ** (-0.8 * (absolute + 20.91)))
    late = -0.4 * 0.26 * absolute - 1.71
    late += (0.51 - 0.26) * np.log10(1 + 10 ** (-0.4 * (absolute + 20.91)))
    early = -0.4 * 0.60 * absolute - 4.63
    mean = (early if red else late) - (1.2 if red else 0.75) * np.log10(1 + z)
    kpc = 10**mean * np.exp(spread * rng.standard_normal(n))
    cosmos = _cosmology()
    scale = np.interp(z, cosmos["edges"], cosmos["kpc_per_arcsec"])
    bulge = rng.beta(5, 2, n) if red else rng.beta(1.1, 4, n)
    axis = rng.beta(6, 2.5, n) if red else rng.uniform(0.15, 1, n)
    return {
        "radius": np.clip(kpc / scale, 0.05, 5.0),
        "bulge": bulge,
        "axis_ratio": np.maximum(axis, 0.12),
        "angle": rng.uniform(0, np.pi, n),
    }

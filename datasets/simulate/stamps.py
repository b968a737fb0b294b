"""Draws the image of one galaxy with GalSim: bulge, disc, neighbours, seeing, noise.

Everything random about a stamp comes from a generator seeded with the galaxy's own key,
so that its pixels do not depend on which process draws it, nor on what is drawn before.
The seeing and the noise are drawn in units that do not depend on the depth: the same
galaxy at another depth has the same neighbours and the same noise pattern.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import galsim
import numpy as np

__all__ = ["COLUMNS", "Imaging", "render"]

# What a galaxy's row holds, besides its key: name -> numbers.
COLUMNS = {
    "flux": 5,
    "old_flux": 5,
    "radius": 1,
    "bulge": 1,
    "axis_ratio": 1,
    "angle": 1,
}

BETA = 3.5  # of the Moffat profile (our choice, as the other widths below)
SEEING_SCATTER = 0.06  # log-normal
JITTER = 0.1  # pixel, standard deviation of the centring
CLEAR = 1.2  # arcsec around the galaxy without neighbours: such blends are rejected
PARAMETERS = galsim.GSParams(
    folding_threshold=1e-2, maxk_threshold=5e-3, kvalue_accuracy=1e-4
)
BULGE = galsim.DeVaucouleurs(half_light_radius=1.0, trunc=5.0, gsparams=PARAMETERS)
DISC = galsim.Exponential(half_light_radius=1.0, gsparams=PARAMETERS)


@dataclasses.dataclass(frozen=True)
class Imaging:
    """What the telescope does to a galaxy.

    Args:
        image_size: int. Pixels a side.
        pixel_scale: float, arcsec.
        fwhm: tuple of float, arcsec. Mean seeing in each band.
        depth: tuple of float, AB magnitude of a point source at 5 sigma in each band.
        zero_point: float. AB magnitude of one count. [default: 27]
        neighbours: float, per square arcsec. [default: 0.012]
        noise: bool. [default: True]
    """

    image_size: int
    pixel_scale: float
    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    zero_point: float = 27.0
    neighbours: float = 0.012
    noise: bool = True

    def pixel_noise(self) -> np.ndarray:
        """Returns the standard deviation of a pixel in each band, in counts.

        Source: noise-equivalent area 2.266 FWHM^2 of a Gaussian of that width.
        """
        limit = 10 ** (-0.4 * (np.array(self.depth) - self.zero_point)) / 5
        area = 2.266 * (np.array(self.fwhm) / self.pixel_scale) ** 2
        return limit / np.sqrt(area)


def render(
    galaxy: dict[str, np.ndarray],
    pool: dict[str, np.ndarray],
    imaging: Imaging,
    key: np.ndarray,
) -> np.ndarray:
    """Returns one stamp.

    Args:
        galaxy: dict with the entries of `COLUMNS` for one galaxy: fluxes in counts,
            radius in arcsec, angle in radian.
        pool: dict of arrays with the same entries: galaxies to draw neighbours from.
        imaging: Imaging.
        key: array of int. Seeds everything random in this stamp.

    Returns:
        float32 array (height, width, band), counts.
    """
    rng = np.random.default_rng([int(part) for part in key])
    size, scale = imaging.image_size, imaging.pixel_scale
    spread = np.exp(SEEING_SCATTER * rng.standard_normal(len(imaging.fwhm)))
    offset = rng.standard_normal(2) * JITTER * scale
    parts = _profiles(galaxy, offset)
    for row, place in _neighbours(pool, imaging, rng):
        parts += _profiles({name: pool[name][row] for name in COLUMNS}, place)
    noise = rng.standard_normal((size, size, len(imaging.fwhm))).astype(np.float32)
    noise *= imaging.pixel_noise().astype(np.float32) * imaging.noise
    for band, fwhm in enumerate(imaging.fwhm):
        scene = galsim.Sum([shape * flux[band] for shape, flux in parts])
        seeing = galsim.Moffat(BETA, fwhm=fwhm * spread[band], gsparams=PARAMETERS)
        image = galsim.Convolve(scene, seeing, gsparams=PARAMETERS).drawImage(
            nx=size, ny=size, scale=scale, dtype=np.float32
        )
        noise[:, :, band] += image.array
    return noise


def _profiles(
    galaxy: Mapping[str, Any], place: Sequence[float] | np.ndarray
) -> list[tuple[galsim.GSObject, np.ndarray]]:
    """Returns the bulge and the disc, each with its flux per band.

    The bulge is 0.6 of the half-light radius, the disc 1.1; it takes more of the old
    stars, so that colour varies inside the stamp.
    """
    bulge = float(galaxy["bulge"])
    old, total = galaxy["old_flux"], galaxy["flux"]
    in_bulge = min(1.0, 1.8 * bulge) * old + 0.6 * bulge * (total - old)
    radius = float(galaxy["radius"])
    shear = galsim.Shear(
        q=float(galaxy["axis_ratio"]), beta=float(galaxy["angle"]) * galsim.radians
    )
    round_ones = (BULGE.dilate(0.6 * radius), DISC.dilate(1.1 * radius))
    shapes = [shape.shear(shear).shift(*place) for shape in round_ones]
    return list(zip(shapes, (in_bulge, total - in_bulge), strict=True))


def _neighbours(
    pool: dict[str, np.ndarray], imaging: Imaging, rng: np.random.Generator
) -> list[tuple[int, np.ndarray]]:
    side = imaging.image_size * imaging.pixel_scale
    count = rng.poisson(imaging.neighbours * side**2)
    rows = rng.integers(0, max(len(pool["radius"]), 1), count)
    places = rng.uniform(-side / 2, side / 2, (count, 2))
    far = np.hypot(*places.T) > CLEAR
    return list(zip(rows[far].tolist(), places[far], strict=True))

"""Mean transmission of the intergalactic medium (Inoue et al. 2014, MNRAS 442, 1805).

Each function returns an optical depth at observed wavelengths; `ratio` is the observed
wavelength over the Lyman limit, `one_z` is 1 + z of the source. Equation numbers are
those of the paper; the coefficients of its table 2 lie beside this file.
"""

import functools
import pathlib

import numpy as np

__all__ = ["transmission"]

LYMAN_LIMIT = 911.8  # Angstrom


def transmission(z: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Returns the mean transmitted fraction.

    Args:
        z: array (sources,), >= 0. Redshifts of the sources.
        wavelength: array (n,), ascending, Angstrom, observed frame.

    Returns:
        array (sources, n), 0 to 1.

    Source: Inoue et al. 2014, equations 15, 20-22, 25-29.
    """
    one_z = 1.0 + np.atleast_1d(np.asarray(z, float))
    wavelength = np.asarray(wavelength, float)
    depth = np.zeros((len(one_z), len(wavelength)))
    blue = wavelength < 1216.0 * one_z.max()
    lines = _lines()
    per_line = _series(wavelength[blue])
    for row, one in zip(depth, one_z, strict=True):
        end = np.searchsorted(wavelength, 1216.0 * one)
        reached = wavelength[:end] < lines[:, None] * one
        row[:end] = np.where(reached, per_line[:, :end], 0.0).sum(0)
        end = np.searchsorted(wavelength, LYMAN_LIMIT * one)
        ratio = wavelength[:end] / LYMAN_LIMIT
        row[:end] += _forest_continuum(one, ratio) + _damped_continuum(one, ratio)
    return np.exp(-depth)


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    here = pathlib.Path(__file__).parent
    return np.loadtxt(here / "igm_forest.dat"), np.loadtxt(here / "igm_damped.dat")


def _lines() -> np.ndarray:
    return _tables()[0][:, 1]


def _series(observed: np.ndarray) -> np.ndarray:
    """Returns the optical depth of each line, (line, n), if the source reaches it."""
    forest, damped = _tables()
    ratio = observed / forest[:, 1, None]  # 1 + redshift of the absorber
    by_forest = np.select(
        [ratio < 2.2, ratio < 5.7],
        [forest[:, 2, None] * ratio**1.2, forest[:, 3, None] * ratio**3.7],
        forest[:, 4, None] * ratio**5.5,
    )
    return by_forest + np.where(
        ratio < 3.0, damped[:, 2, None] * ratio**2, damped[:, 3, None] * ratio**3
    )


def _forest_continuum(one_z: float, ratio: np.ndarray) -> np.ndarray:
    if one_z < 2.2:
        return 0.3248 * (ratio**1.2 - one_z**-0.9 * ratio**2.1)
    if one_z < 5.7:
        first = 2.545e-2 * one_z**1.6 * ratio**2.1
        return np.where(
            ratio < 2.2,
            first + 0.3248 * ratio**1.2 - 0.2496 * ratio**2.1,
            first - 2.545e-2 * ratio**3.7,
        )
    first = 5.221e-4 * one_z**3.4 * ratio**2.1
    return np.select(
        [ratio < 2.2, ratio < 5.7],
        [
            first + 0.3248 * ratio**1.2 - 3.140e-2 * ratio**2.1,
            first + 0.2182 * ratio**2.1 - 2.545e-2 * ratio**3.7,
        ],
        first - 5.221e-4 * ratio**5.5,
    )


def _damped_continuum(one_z: float, ratio: np.ndarray) -> np.ndarray:
    if one_z < 3.0:
        return (
            0.2113 * one_z**2 - 0.07661 * one_z**2.3 * ratio**-0.3 - 0.1347 * ratio**2
        )
    first = 0.04696 * one_z**3 - 0.01779 * one_z**3.3 * ratio**-0.3
    return np.where(
        ratio < 3.0,
        0.6340 + first - 0.1347 * ratio**2 - 0.2905 * ratio**-0.3,
        first - 0.02916 * ratio**3,
    )

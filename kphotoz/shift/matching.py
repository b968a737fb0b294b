"""Samples made alike in what is not asked about."""

import numpy as np

from kphotoz.errors import InputError
from kphotoz.features import noise_sigma

__all__ = ["match_depth", "match_rows"]


def match_rows(
    source: np.ndarray, target: np.ndarray, *, bins: int = 6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices of source and target rows with the same distribution.

    In each cell of a grid of quantiles both samples keep as many rows as the smaller
    has, drawn at random.

    Args:
        source: float array (n, quantity), such as magnitude and redshift.
        target: float array (m, quantity).
        bins: int >= 1. Per quantity.
        seed: int.

    Returns:
        Two int arrays of equal length, sorted; empty where nothing overlaps.

    Raises:
        InputError: different numbers of quantities.
    """
    source, target = (np.asarray(x, np.float64) for x in (source, target))
    if source.ndim != 2 or source.shape[1:] != target.shape[1:]:
        raise InputError(
            "Wanted: the same quantities (row, quantity) of both samples. Received: "
            f"shapes {source.shape} and {target.shape}."
        )
    both = np.concatenate([source, target])
    known = np.isfinite(both).all(axis=1)
    cells = np.zeros(len(both), int)
    for column in both.T if known.any() else ():
        cuts = np.quantile(column[known], np.linspace(0, 1, bins + 1)[1:-1])
        cells = cells * bins + np.searchsorted(cuts, column, "right")
    cells[~known] = -1
    mine, theirs = cells[: len(source)], cells[len(source) :]
    generator = np.random.default_rng(seed)
    kept: tuple[list, list] = ([], [])
    for cell in np.unique(cells[known]):
        rows = [np.flatnonzero(side == cell) for side in (mine, theirs)]
        size = min(map(len, rows))
        for place, some in zip(kept, rows, strict=True):
            place.append(generator.permutation(some)[:size])
    first, second = (np.sort(np.concatenate([np.zeros(0, int), *one])) for one in kept)
    return first, second


def match_depth(
    source: np.ndarray, target: np.ndarray, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns copies with noise added band by band, so that both are equally deep.

    Images get white noise until their pixels scatter alike, catalogues until their
    median flux errors agree. Seeing and the noise's correlation stay as they are.

    Args:
        source: float array (n, height, width, band), or (n, band, 2) flux and error.
        target: float array of the same kind.
        seed: int.

    Raises:
        InputError: different shapes of one object.
    """
    source, target = (np.array(x, np.float32) for x in (source, target))
    if source.shape[1:] != target.shape[1:] or source.ndim not in (3, 4):
        raise InputError(
            "Wanted: images (n, height, width, band) or photometry (n, band, 2) of one "
            f"shape. Received: {source.shape} and {target.shape}."
        )
    sides, generator = (source, target), np.random.default_rng(seed)
    noise = np.array([_noise(side) for side in sides])
    lacking = np.sqrt(np.maximum(noise.max(axis=0) ** 2 - noise**2, 0.0))
    for side, extra in zip(sides, lacking, strict=True):
        pixels = side if side.ndim == 4 else side[..., 0]
        pixels += generator.standard_normal(pixels.shape, np.float32) * extra
        if side.ndim == 3:
            side[..., 1] = np.hypot(side[..., 1], extra)
    return sides


def _noise(side: np.ndarray) -> np.ndarray:
    """Returns the noise of each band (band,): of a pixel, or the median error."""
    if side.ndim == 4:
        return np.asarray(noise_sigma(side), np.float64)
    errors = side[..., 1].astype(np.float64)
    known = np.isfinite(errors).any(axis=0)
    return np.where(known, np.nanmedian(np.where(known, errors, 0.0), axis=0), 0.0)

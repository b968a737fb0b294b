"""Means, medians and quantiles along the last axis, with or without weights.

Weights are frequencies up to a factor: an integer weight k gives the result of the row
repeated k times, a weight of zero that of the row left out.
"""

import numpy as np

# Cumulative weights equal up to rounding count as a tie, as they would for integers.
_TIE = 1e-12


def mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns the (weighted) mean over the last axis."""
    if weights is None:
        if values.dtype == bool:
            return np.count_nonzero(values, axis=-1) / values.shape[-1]
        return np.mean(values, axis=-1)
    total = _positive(np.sum(weights, axis=-1))
    return np.sum(values * weights, axis=-1) / total


def median(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns the (weighted) median over the last axis; ties give the midpoint."""
    if weights is not None:
        return _inverse_cdf(values, (0.5,), weights)[0]
    size = values.shape[-1]
    middle = size // 2
    if size % 2:
        return np.partition(values, middle, axis=-1)[..., middle]
    parts = np.partition(values, middle, axis=-1)
    return 0.5 * (np.max(parts[..., :middle], axis=-1) + parts[..., middle])


def quartiles(
    values: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the 25 and 75 % quantiles over the last axis.

    Without weights numpy's linear interpolation, as RAIL; with weights, for which that
    has no scale-free meaning, the inverse of the CDF averaged at ties.
    """
    if weights is None:
        low, high = np.quantile(values, (0.25, 0.75), axis=-1)
        return low, high
    low, high = _inverse_cdf(values, (0.25, 0.75), weights)
    return low, high


def _inverse_cdf(
    values: np.ndarray, levels: tuple[float, ...], weights: np.ndarray
) -> list[np.ndarray]:
    order = np.argsort(values, axis=-1)
    ranked = np.take_along_axis(values, order, axis=-1)
    weights = np.broadcast_to(weights, values.shape)
    below = np.cumsum(np.take_along_axis(weights, order, axis=-1), axis=-1)
    total = below[..., -1:]
    quantiles = []
    for level in levels:
        target = level * total
        first = np.argmax(below >= target * (1 - _TIE), axis=-1)
        after = np.argmax(below > target * (1 + _TIE), axis=-1)
        pair = np.stack([first, after], axis=-1)
        value = np.take_along_axis(ranked, pair, axis=-1).mean(axis=-1)
        quantiles.append(np.where(total[..., 0] > 0, value, np.nan))
    return quantiles


def _positive(total: np.ndarray) -> np.ndarray:
    """Returns the totals with NaN in place of zero: no weight, no statistic."""
    return np.where(total > 0, total, np.nan)

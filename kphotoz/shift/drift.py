"""Which features, bands and colours differ between two samples."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats

from kphotoz.errors import InputError
from kphotoz.shift._pairs import check_pair

__all__ = ["Drift", "feature_drift", "holm"]


@dataclasses.dataclass(frozen=True)
class Drift:
    """How one feature differs.

    Args:
        name: str.
        median: float. Median of the target minus that of the source, in its own unit.
        effect: float. Difference of the means over the pooled standard deviation
            (Cohen's d); NaN where the feature is constant in both.
        ks: float in 0..1. Kolmogorov-Smirnov distance.
        p: float. Its p-value, of this feature alone.
        p_holm: float. Corrected for the number of features: any false alarm.
        p_bh: float. The same by Benjamini and Hochberg: share of false alarms.
    """

    name: str
    median: float
    effect: float
    ks: float
    p: float
    p_holm: float
    p_bh: float


def feature_drift(
    source: np.ndarray, target: np.ndarray, names: Sequence[str]
) -> list[Drift]:
    """Returns one Drift per feature, in their order.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        names: sequence of str, one per feature.

    Raises:
        InputError: samples too small, not finite or of other features, or another
            number of names.
    """
    source, target = check_pair(source, target)
    if len(names) != source.shape[1]:
        raise InputError(
            f"Wanted: a name for each of {source.shape[1]} features. Received: "
            f"{len(names)} names."
        )
    tests = [
        scipy.stats.ks_2samp(mine, theirs, method="asymp")
        for mine, theirs in zip(source.T, target.T, strict=True)
    ]
    p = np.array([test.pvalue for test in tests])
    corrected = holm(p), scipy.stats.false_discovery_control(p)
    medians = np.median(target, axis=0) - np.median(source, axis=0)
    effects = _effects(source, target)
    return [
        Drift(name, *map(float, numbers))
        for name, *numbers in zip(
            names, medians, effects, [t.statistic for t in tests], p, *corrected,
            strict=True,
        )
    ]  # fmt: skip


def _effects(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    n, m = len(source), len(target)
    pooled = (n - 1) * source.var(axis=0, ddof=1) + (m - 1) * target.var(axis=0, ddof=1)
    spread = np.sqrt(pooled / (n + m - 2))
    difference = target.mean(axis=0) - source.mean(axis=0)
    return difference / np.where(spread > 0, spread, np.nan)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Returns p-values that hold for all tests together.

    Args:
        p: sequence of float, (test,).

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected

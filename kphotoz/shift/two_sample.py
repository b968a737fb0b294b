"""Were two samples drawn from one distribution? Tests by permutation.

Throughout `source` and `target` are float arrays (n, feature) and (m, feature) of ten
rows or more, and p is the share of random relabellings, the true one among them, whose
statistic is as large: exact for samples of any size. At survey size p says little: look
at the statistic.
"""

import dataclasses

import numpy as np
import scipy.spatial.distance
import scipy.stats

from kphotoz.shift._pairs import (
    check_count,
    check_pair,
    label_draws,
    p_value,
    standardised,
)

__all__ = ["TestResult", "classifier_test", "frechet_test", "mmd", "mmd_test"]

_RIDGE = 1e-3  # of the variance of a standardised feature; our choice
_COMPONENTS = 32  # of which a Frechet distance is taken; our choice


@dataclasses.dataclass(frozen=True)
class TestResult:
    """A statistic and what it is where nothing differs.

    Args:
        statistic: float.
        p: float in (0, 1].
        null: float. Mean of the statistic over relabellings.
        null_95: float. Their 95th percentile.
    """

    __test__ = False  # no class of tests

    statistic: float
    p: float
    null: float
    null_95: float


def classifier_test(
    source: np.ndarray,
    target: np.ndarray,
    *,
    permutations: int = 999,
    folds: int = 5,
    seed: int = 0,
) -> TestResult:
    """Returns the held-out AUC of a linear classifier of target against source.

    The classifier is ridge regression on the standardised features (a linear
    discriminant), the AUC a mean over folds: 0.5 where nothing differs linearly, 1
    where each object shows where it is from.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        permutations: int >= 19.
        folds: int >= 2.
        seed: int. Of folds and relabellings.

    Raises:
        InputError: samples too small, not finite, or of other features.

    Source: Lopez-Paz & Oquab 2017, arXiv 1610.06545, with permutations.
    """
    check_count("permutations", permutations, 19)
    check_count("folds", folds, 2)
    source, target = check_pair(source, target)
    rows = standardised(source, target)
    labels = label_draws(len(source), len(target), permutations, seed)
    fold = np.random.default_rng([seed, 1]).permutation(len(rows)) % folds
    areas = np.array([_areas(rows, labels, fold == k) for k in range(folds)])
    # A relabelling can leave a fold without one of the two: it has no area there.
    known = np.isfinite(areas)
    count = known.sum(axis=0)
    total = np.where(known, areas, 0.0).sum(axis=0)
    return _result(np.where(count > 0, total / np.maximum(count, 1), 0.5))


def _areas(rows: np.ndarray, labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Returns the AUC on the held rows for each column of labels, NaN where none."""
    known = rows[~held]
    centre = known.mean(axis=0)
    known, asked = known - centre, rows[held] - centre
    gram = known.T @ known + _RIDGE * len(known) * np.eye(rows.shape[1])
    wanted = labels[~held] - labels[~held].mean(axis=0)
    scores = asked @ np.linalg.solve(gram, known.T @ wanted)
    # Rounding must not order rows that are equal.
    ranks = scipy.stats.rankdata(np.round(scores, 12), axis=0)
    ones = labels[held].sum(axis=0)
    zeros = np.count_nonzero(held) - ones
    above = (ranks * labels[held]).sum(axis=0) - ones * (ones + 1) / 2
    return np.where(ones * zeros > 0, above / np.maximum(ones * zeros, 1), np.nan)


def mmd(source: np.ndarray, target: np.ndarray, width: float) -> float:
    """Returns the unbiased squared maximum mean discrepancy; it can be negative.

    The kernel is ``exp(-|x - y|^2 / (2 width^2))``.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        width: float > 0, in the unit of the features.

    Raises:
        InputError: samples too small, not finite, or of other features.

    Source: Gretton et al. 2012, JMLR 13, 723, equation 3.
    """
    source, target = check_pair(source, target)
    both = np.concatenate([source, target])
    kernel = _kernel(_squares(both), width)
    return float(_discrepancies(kernel, label_draws(len(source), len(target), 0, 0))[0])


def mmd_test(
    source: np.ndarray,
    target: np.ndarray,
    *,
    permutations: int = 999,
    seed: int = 0,
    most: int = 1000,
) -> TestResult:
    """Returns the squared maximum mean discrepancy of the standardised features.

    The width is the median distance of all pairs.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        permutations: int >= 19.
        seed: int. Of relabellings and of the rows that are taken.
        most: int. Rows of a sample that are taken: memory grows as their square.

    Raises:
        InputError: samples too small, not finite, or of other features.
    """
    check_count("permutations", permutations, 19)
    source, target = check_pair(source, target)
    generator = np.random.default_rng([seed, 1])
    source, target = (
        sample[np.sort(generator.permutation(len(sample))[:most])]
        for sample in (source, target)
    )
    squares = _squares(standardised(source, target))
    above = squares[np.triu_indices(len(squares), 1)]
    width = np.sqrt(np.median(above)) or 1.0
    labels = label_draws(len(source), len(target), permutations, seed)
    return _result(_discrepancies(_kernel(squares, width), labels))


def _squares(rows: np.ndarray) -> np.ndarray:
    flat = scipy.spatial.distance.pdist(rows, "sqeuclidean")
    return scipy.spatial.distance.squareform(flat)


def _kernel(squares: np.ndarray, width: float) -> np.ndarray:
    kernel = np.exp(-squares / (2 * width**2))
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _discrepancies(kernel: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the unbiased estimate for each column of labels."""
    m = labels[:, 0].sum()
    n = len(labels) - m
    towards = kernel @ labels
    inside = (labels * towards).sum(axis=0)
    across = towards.sum(axis=0) - inside
    outside = kernel.sum() - 2 * across - inside
    return inside / (m * (m - 1)) + outside / (n * (n - 1)) - 2 * across / (n * m)


def frechet_test(
    source: np.ndarray,
    target: np.ndarray,
    *,
    permutations: int = 199,
    seed: int = 0,
) -> TestResult:
    """Returns the Frechet distance of Gaussians with the samples' moments.

    ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`` of the standardised features, in
    their first 32 principal components. It is never zero for finite samples: compare
    it with `null`.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        permutations: int >= 19.
        seed: int. Of the relabellings.

    Raises:
        InputError: samples too small, not finite, or of other features.

    Source: Dowson & Landau 1982, J. Multivariate Analysis 12, 450, equation 4.
    """
    check_count("permutations", permutations, 19)
    source, target = check_pair(source, target)
    rows = principal(standardised(source, target), _COMPONENTS)
    labels = label_draws(len(source), len(target), permutations, seed) > 0
    return _result(np.array([_frechet(rows[~mine], rows[mine]) for mine in labels.T]))


def principal(rows: np.ndarray, components: int) -> np.ndarray:
    """Returns rows of mean 0 along their principal axes, the widest first.

    Args:
        rows: float array (n, feature) of mean 0.
        components: int. The most axes.
    """
    _, axes = np.linalg.eigh(rows.T @ rows)
    return rows @ axes[:, ::-1][:, :components]


def _frechet(one: np.ndarray, other: np.ndarray) -> float:
    shift = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (one, other))
    values, axes = np.linalg.eigh(first)
    root = axes * np.sqrt(np.maximum(values, 0.0)) @ axes.T
    cross = np.linalg.eigvalsh(root @ second @ root)
    trace = np.trace(first) + np.trace(second)
    return float(shift @ shift + trace - 2 * np.sqrt(np.maximum(cross, 0)).sum())


def _result(statistics: np.ndarray) -> TestResult:
    null = statistics[1:]
    return TestResult(
        float(statistics[0]),
        p_value(statistics),
        float(null.mean()),
        float(np.quantile(null, 0.95)),
    )

"""How much accuracy a difference between samples costs, with errors."""

import numpy as np

from kphotoz.metrics import effective_size
from kphotoz.metrics.point import kernel

__all__ = ["LEAST", "accuracy"]

LEAST = 30  # objects, or effective ones, from which a scatter is told; our choice
DRAWS = 200  # of the bootstrap
_METRICS = ("nmad", "bias_median")


def accuracy(
    source: tuple[np.ndarray, np.ndarray],
    target: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, dict[str, float | int | None]]:
    """Returns scatter and bias on the source, expected and measured on the target.

    `expected` are the source's own errors weighted to look like the target: what
    follows from other inputs alone. `measured` needs labels of the target. What the
    second has beyond the first, `unexplained`, is due to another relation of labels
    and inputs, or to what the features do not hold. Errors are of a bootstrap of both
    samples, weights held.

    Args:
        source: predictions and labels, (n,) each; unlabelled rows are NaN.
        target: the same, (m,).
        weights: float array (n,), as `density_ratio` gives them.
        seed: int.

    Returns:
        dict of "source", "expected", "measured", "unexplained" and "change" (measured,
        else expected, minus source) to a dict of metric and metric_error; None where
        there are too few objects. "source" and "measured" also have `objects`, the
        number, "expected" the effective number.
    """
    known = [np.isfinite(z).all(axis=0) for z in map(np.stack, (source, target))]
    (zs, ts), (zt, tt) = (
        [column[rows] for column in pair]
        for pair, rows in zip((source, target), known, strict=True)
    )
    weights = np.asarray(weights, np.float64)[known[0]]
    generator = np.random.default_rng(seed)
    tables: dict[str, list] = {name: [] for name in ("source", "expected", "measured")}
    for draw in range(DRAWS + 1):
        mine, theirs = (
            np.arange(size) if draw == 0 else generator.integers(0, size, size)
            for size in (zs.size, zt.size)
        )
        tables["source"].append(_scores(zs[mine], ts[mine], None))
        tables["expected"].append(_scores(zs[mine], ts[mine], weights[mine]))
        tables["measured"].append(_scores(zt[theirs], tt[theirs], None))
    arrays = {name: np.array(rows) for name, rows in tables.items()}
    arrays["unexplained"] = arrays["measured"] - arrays["expected"]
    labelled = zt.size >= LEAST
    better = arrays["measured" if labelled else "expected"]
    arrays["change"] = better - arrays["source"]
    results = {name: _summary(rows) for name, rows in arrays.items()}
    results["source"]["objects"] = int(zs.size)
    size = effective_size(weights) if weights.any() else 0.0
    results["expected"]["objects"] = round(size)
    results["measured"]["objects"] = int(zt.size)
    return results


def _scores(z: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> list:
    size: float = z.size
    if weights is not None:
        size = effective_size(weights) if weights.any() else 0
    if size < LEAST:
        return [np.nan] * len(_METRICS)
    return [float(kernel(name)(z, truth, weights)) for name in _METRICS]


def _summary(rows: np.ndarray) -> dict[str, float | int | None]:
    summary: dict[str, float | int | None] = {}
    for name, column in zip(_METRICS, rows.T, strict=True):
        drawn = column[1:][np.isfinite(column[1:])]
        known = np.isfinite(column[0]) and drawn.size > 1
        summary[name] = float(column[0]) if known else None
        summary[f"{name}_error"] = float(drawn.std(ddof=1)) if known else None
    return summary

"""One metric in bins of a redshift, a magnitude or a category."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kphotoz.errors import InputError
from kphotoz.metrics._screen import count_usable
from kphotoz.metrics.bootstrap import over_seeds
from kphotoz.metrics.estimates import SMALLEST_BIN, Estimate
from kphotoz.metrics.point import DEFINITIONS, kernel
from kphotoz.metrics.windows import Window

__all__ = ["binned", "too_few"]


def binned(
    metric: str,
    z_pred: np.ndarray,
    z_true: np.ndarray,
    edges: Sequence[float] | np.ndarray,
    by: str | np.ndarray,
    *,
    name: str | None = None,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    draws: int = 200,
    seed: int = 0,
) -> list[Estimate]:
    """Returns the metric in each bin ``low < by <= high``, in the order of the edges.

    A bin of fewer than 20 objects has a NaN value and a note that says so. Trends
    in z_true bins hold regression to the mean; a catalogue can only be cut on z_pred.

    Args:
        metric: str, a key of `metrics.POINT`.
        z_pred: array (n,), or (seeds, n): then the mean over seeds.
        z_true: array (n,).
        edges: ascending bin edges, in the units of `by`.
        by: "z_true", "z_pred", or an array (n,) of anything else.
        name: str. What an array `by` is, kept in each window.
        weights: array (n,) or None [default: None].
        groups: array (n,) or None. Rows of one object, as in `summary` [default: None].
        draws: int. Bootstrap draws a bin [default: 200].
        seed: int [default: 0].
    """
    kernel(metric)
    cuts = np.asarray(edges, np.float64)
    if cuts.ndim != 1 or cuts.size < 2 or not np.all(np.diff(cuts) > 0):
        raise InputError(
            f"Wanted: two or more ascending bin edges. Received: {cuts.tolist()}."
        )
    if not np.size(z_true):
        raise InputError("Wanted: at least one object to bin. Received: none.")
    if isinstance(by, str) and by not in ("z_true", "z_pred"):
        raise ValueError(f"`by` is z_true, z_pred or an array. Received: {by!r}.")
    if not isinstance(by, str) and name is None:
        raise ValueError("`name` must say what the array `by` holds.")
    more = {"weights": weights, "groups": groups}
    options = {"draws": draws, "seed": seed}
    return [
        _bin(metric, z_pred, z_true, low, high, by, name, more, options)
        for low, high in zip(cuts[:-1], cuts[1:], strict=True)
    ]


def _bin(
    metric: str,
    z_pred: np.ndarray,
    z_true: np.ndarray,
    low: float,
    high: float,
    by: str | np.ndarray,
    name: str | None,
    more: dict[str, np.ndarray | None],
    options: dict[str, Any],
) -> Estimate:
    """Returns one bin's estimate."""
    z_pred, z_true = np.asarray(z_pred, np.float64), np.asarray(z_true, np.float64)
    window = Window(float(low), float(high), by if isinstance(by, str) else str(name))
    if isinstance(by, str):
        rows = window.contains(z_pred if by == "z_pred" else z_true)
        inside = np.ones(z_true.size, bool)
        within = window
    else:
        rows = inside = window.contains(np.asarray(by, np.float64))
        within = None
    # Members per seed, so that a bin on z_pred is judged by its smallest typical size.
    count = int(np.count_nonzero(rows) / (z_pred.shape[0] if rows.ndim == 2 else 1))
    if count < SMALLEST_BIN:
        return too_few(metric, count, window)
    own: dict[str, Any] = {
        k: None if v is None else np.asarray(v)[inside] for k, v in more.items()
    }
    pred, true = z_pred[..., inside], z_true[inside]
    usable, excluded = count_usable(pred, true, own["weights"], within)
    if usable < SMALLEST_BIN:
        return too_few(metric, usable, window, excluded)
    estimate = over_seeds(metric, pred, true, window=within, **own, **options)
    if estimate.n < SMALLEST_BIN:
        return too_few(metric, estimate.n, window, estimate.excluded)
    return dataclasses.replace(estimate, window=window)


def too_few(
    metric: str, n: int, window: Window | None, excluded: dict[str, int] | None = None
) -> Estimate:
    """Returns NaN with the note why, and what was left out."""
    return Estimate(
        metric,
        float("nan"),
        float("nan"),
        n,
        excluded or {},
        window,
        DEFINITIONS[metric],
        n_effective=float(n),
        note=f"fewer than {SMALLEST_BIN} objects",
    )

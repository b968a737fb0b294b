"""Metrics with errors: objects and trained models are drawn again, with replacement."""

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import numpy as np

from kphotoz.errors import InputError
from kphotoz.metrics._screen import Screened, screen
from kphotoz.metrics.estimates import (
    SMALLEST_BIN,
    SMALLEST_SEEDS,
    Difference,
    Estimate,
)
from kphotoz.metrics.groups import redrawn
from kphotoz.metrics.point import DEFAULT, DEFINITIONS, RATES, SIGNED, kernel
from kphotoz.metrics.windows import Window

__all__ = [
    "effective_size",
    "over_seeds",
    "paired_difference",
    "paired_differences",
    "summary",
]

# Numbers held at once while drawing: 8 MB an array stays near the processor's cache.
_CHUNK = 1_000_000
# numpy lets several threads sort and sum at once. No result depends on their number.
_THREADS = min(os.cpu_count() or 1, 8)
# Poisson upper limit, one-sided 84.1 %, on the mean behind a count of zero: -ln(0.159).
_ZERO_COUNT = 1.84
_FAILED = "no usable prediction"


def effective_size(weights: np.ndarray) -> float:
    """Returns (sum of weights)^2 / sum of squared weights.

    Args:
        weights: array (n,), not negative, not all zero.

    Source: Kish 1965, Survey Sampling, section 11.7.
    """
    weights = np.asarray(weights, np.float64)
    if not np.all(weights >= 0) or not np.any(weights > 0):
        raise InputError(
            "Wanted: weights that are not negative and not all zero. "
            f"Received: {weights.size} weights, {np.count_nonzero(weights > 0)} "
            "positive. Check the weight column."
        )
    return float(weights.sum() ** 2 / (weights**2).sum())


def summary(
    z_pred: np.ndarray,
    z_true: np.ndarray,
    *,
    names: Sequence[str] = DEFAULT,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    window: Window | None = None,
    grid: tuple[float, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> list[Estimate]:
    """Returns the metrics of one set of predictions, with bootstrap errors.

    Args:
        z_pred: array (n,) of predictions, or (seeds, n): then see `over_seeds`.
        z_true: array (n,) of reference redshifts.
        names: keys of `metrics.POINT` [default: the four headline metrics].
        weights: array (n,) of deployment weights, or None [default: None].
        groups: array (n,), text or numbers: rows of one object, which are drawn
            together; "" or NaN is an object of its own [default: None, each row is].
        window: Window or None [default: None, all objects].
        grid: (low, high) or None. Redshifts outside are used, but counted in `flagged`
            as out_of_grid [default: None].
        draws: int. Bootstrap draws; 0 gives NaN errors [default: 1000].
        seed: int. Of the draws [default: 0].

    Raises:
        InputError: an unknown metric, or no usable label. Where the labels are usable
            and no prediction is, the values are NaN and the note says so.
    """
    kernels = [kernel(name) for name in names]
    sample = screen(z_pred, z_true, weights, window, grid, groups)
    seeds = sample.preds.shape[0]
    if not sample.n:
        return [_failed(name, sample, window) for name in names]
    values = np.stack([_value(function, sample) for function in kernels])
    drawn = _average(_draws(kernels, [sample], draws, seed)[0], seed)
    return [
        Estimate(
            metric=name,
            value=float(value.mean()),
            error=_error(name, float(value.mean()), spread, sample),
            n=sample.n,
            excluded=sample.excluded,
            window=window,
            definition=DEFINITIONS[name],
            n_effective=sample.n_effective,
            flagged=sample.flagged,
            seeds=seeds,
            note=_few(sample.n),
        )
        for name, value, spread in zip(names, values, drawn, strict=True)
    ]


def over_seeds(
    metric: str,
    preds: np.ndarray,
    z_true: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    window: Window | None = None,
    grid: tuple[float, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Returns the mean over trained models of a metric; errors from objects and seeds.

    Each draw takes n objects, the same for every model, and seeds - 1 of the models:
    one fewer makes the variance of their mean unbiased. With one model (`seeds` of the
    estimate is 1) the error holds objects only.

    Args:
        metric: str, a key of `metrics.POINT`.
        preds: array (seeds, n). An object that one model fails on is left out for all.
        z_true: array (n,).
        weights, groups, window, grid, draws, seed: as in `summary`. In a window on
            z_pred each model is scored on its own members.

    Noise that is independent between models enters through both draws, so that the
    error is too large by up to 1.7 where nothing else matters.

    Source: McCarthy & Snowden 1985 (draw size n - 1); Owen 2007, arXiv 0712.1111 (the
    bias of drawing both objects and models).
    """
    (estimate,) = summary(
        preds,
        z_true,
        names=(metric,),
        weights=weights,
        groups=groups,
        window=window,
        grid=grid,
        draws=draws,
        seed=seed,
    )
    return estimate


def paired_difference(
    metric: str,
    preds_a: np.ndarray,
    preds_b: np.ndarray,
    z_true: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    window: Window | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Difference:
    """Returns metric(a) - metric(b) on the same objects and the same seeds.

    Both sides see the same objects and models in each draw, so that what they share
    cancels. It is `resolved` if |value| > 2 error and there are at least five seeds.
    False resolutions under no difference: about 5 % when errors on objects that the
    models of a regime share dominate, about 12 % when five seeds do (Student's t of
    four degrees of freedom), and less than 2 % when the models err independently, since
    then both draws see the same noise.

    Args:
        metric: str, a key of `metrics.POINT`. Biases are compared by absolute value.
        preds_a: array (seeds, n), row i and row i of `preds_b` share a training seed.
        preds_b: array (seeds, n).
        z_true: array (n,).
        weights, groups, window, draws, seed: as in `summary`. In a window on z_pred
            each side, and each model, is scored on its own members.

    Raises:
        InputError: an unknown metric, or no usable object.
    """
    cases = {"a": preds_a, "b": preds_b}
    pairs = paired_differences(
        metric,
        cases,
        z_true,
        weights=weights,
        groups=groups,
        window=window,
        draws=draws,
        seed=seed,
    )
    return pairs["a", "b"]


def paired_differences(
    metric: str,
    cases: Mapping[str, np.ndarray],
    z_true: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    window: Window | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], Difference]:
    """Returns the differences of all pairs of cases.

    A row that either case fails on is left out of their difference alone; pairs of
    which the same rows are left share their draws.

    Args:
        metric: str, a key of `metrics.POINT`.
        cases: name -> array (seeds, n); all of one shape, row i of one training seed.
        z_true: array (n,).
        weights, groups, window, draws, seed: as in `paired_difference`.
    """
    function = kernel(metric)
    preds = [np.atleast_2d(pred) for pred in cases.values()]
    if len({pred.shape for pred in preds}) != 1:
        raise ValueError(
            "All sides must have the same seeds and objects. "
            f"Received: {' and '.join(str(pred.shape) for pred in preds)}."
        )
    usable = {name: _usable(p) for name, p in zip(cases, preds, strict=True)}
    sharing: dict[bytes, list[tuple[str, str]]] = {}
    for a, b in itertools.combinations(cases, 2):
        sharing.setdefault((usable[a] & usable[b]).tobytes(), []).append((a, b))
    differences: dict[tuple[str, str], Difference] = {}
    for pairs in sharing.values():
        # What one of these cases fails on, each of their pairs fails on.
        names = [name for name in cases if any(name in pair for pair in pairs)]
        both = np.concatenate([np.atleast_2d(cases[name]) for name in names])
        whole = screen(both, z_true, weights, window, groups=groups)
        values, drawn = _sides(function, whole, len(names), metric, draws, seed)
        sides = dict(zip(names, zip(values, drawn, strict=True), strict=True))
        differences |= {pair: _pair(sides, pair, whole, metric) for pair in pairs}
    return {pair: differences[pair] for pair in itertools.combinations(cases, 2)}


def _usable(pred: np.ndarray) -> np.ndarray:
    """Returns which objects all models have a prediction of, (n,) bool."""
    return (np.isfinite(pred) & (pred > -1)).all(axis=0)


def _sides(
    function: Callable, whole: Screened, count: int, metric: str, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the metric of each side and its draws, NaN where no object is left."""
    if not whole.n:
        return np.full(count, np.nan), np.full((count, draws), np.nan)
    seeds = len(whole.preds) // count
    sides = [_side(whole, slice(i * seeds, (i + 1) * seeds)) for i in range(count)]
    values = np.array([_value(function, side).mean() for side in sides])
    redone = _draws([function], sides, draws, seed)
    drawn = np.array([_average(draw, seed)[0] for draw in redone])
    return (np.abs(values), np.abs(drawn)) if metric in SIGNED else (values, drawn)


def _pair(sides: dict, names: tuple, whole: Screened, metric: str) -> Difference:
    (a, drawn_a), (b, drawn_b) = (sides[name] for name in names)
    value, error = float(a - b), _half_width(drawn_a - drawn_b)
    seeds = len(whole.preds) // len(sides)
    words = "|{0}| of {1} − |{0}| of {2}" if metric in SIGNED else "{0} of {1} − {2}"
    return Difference(
        value=value,
        error=error,
        resolved=bool(seeds >= SMALLEST_SEEDS and abs(value) > 2 * error),
        seeds=seeds,
        n=whole.n,
        metric=metric,
        excluded=whole.excluded,
        definition=words.format(metric, *names),
    )


def _side(both: Screened, rows: slice) -> Screened:
    weights = both.weights
    if weights is not None and weights.ndim == 2:
        weights = weights[rows]
    return dataclasses.replace(both, preds=both.preds[rows], weights=weights)


def _value(function: Callable, sample: Screened) -> np.ndarray:
    """Returns the metric of each seed, (seeds,)."""
    if not sample.masked or sample.weights is None:
        value = function(sample.preds, sample.truth, sample.weights)
        return np.broadcast_to(value, sample.preds.shape[:1])
    # A window on z_pred: each seed's own members, without weights.
    values = []
    for pred, member in zip(sample.preds, sample.weights > 0, strict=True):
        if member.any():
            values.append(function(pred[member], sample.truth[member], None))
        else:
            values.append(np.nan)
    return np.array(values, np.float64)


def _draws(
    kernels: Sequence[Callable], samples: Sequence[Screened], draws: int, seed: int
) -> np.ndarray:
    """Returns metrics of redrawn objects, (samples, metrics, draws, seeds).

    All samples hold the same objects and share the draws. Rows are ranked first, so
    that the errors do not depend on the order of the table.
    """
    first = samples[0]
    keys = [pred for sample in samples for pred in sample.preds[:1]]
    order = np.lexsort([*keys, first.truth])
    truth = first.truth[order]
    groups = None if first.groups is None else first.groups[order]
    seeds, n = first.preds.shape
    preds = [np.ascontiguousarray(sample.preds[:, order]) for sample in samples]
    weights = [None if s.weights is None else s.weights[..., order] for s in samples]
    generator = np.random.default_rng(seed)
    step = max(1, min(_CHUNK // (n * seeds), math.ceil(draws / _THREADS)))
    drawn = np.full((len(samples), len(kernels), draws, seeds), np.nan)

    def fill(places: slice | np.ndarray, rows: np.ndarray) -> None:
        true = truth[rows]
        for i, (pred, weight) in enumerate(zip(preds, weights, strict=True)):
            chosen = pred[:, rows]
            weight = None if weight is None else weight[..., rows]
            for j, function in enumerate(kernels):
                value = function(chosen, true, weight)
                drawn[i, j][places] = np.transpose(value)

    with futures.ThreadPoolExecutor(_THREADS) as pool:
        # A few at a time: the rows of all draws need not fit in memory.
        for start in range(0, draws, step * _THREADS):
            some = range(start, min(start + step * _THREADS, draws))
            parts = list(redrawn(generator, groups, n, some, step))
            list(pool.map(lambda part: fill(*part), parts))
    return drawn


def _average(drawn: np.ndarray, seed: int) -> np.ndarray:
    """Returns (metrics, draws): the mean over seeds - 1 models drawn again."""
    metrics, draws, seeds = drawn.shape
    if seeds == 1:
        return drawn[..., 0]
    # A second stream, so that objects do not depend on the number of models.
    generator = np.random.default_rng([seed, 1])
    chosen = generator.integers(0, seeds, size=(1, draws, seeds - 1))
    return np.take_along_axis(drawn, chosen, axis=-1).mean(axis=-1)


def _half_width(drawn: np.ndarray) -> float:
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < 2:
        return float("nan")
    low, high = np.quantile(drawn, (0.158, 0.841))
    return float(0.5 * (high - low))


def _error(name: str, value: float, drawn: np.ndarray, sample: Screened) -> float:
    """Returns the bootstrap error, or for a rate of exactly 0 or 1 a Poisson limit.

    Source: Gehrels 1986, ApJ 303, 336, table 1 (zero counts).
    """
    if name in RATES and value in (0.0, 1.0) and drawn.size:
        return min(1.0, _ZERO_COUNT / sample.n_effective)
    return _half_width(drawn)


def _failed(name: str, sample: Screened, window: Window | None) -> Estimate:
    """Returns NaN for a model none of whose predictions can be used."""
    nan = float("nan")
    return Estimate(
        name,
        nan,
        nan,
        0,
        sample.excluded,
        window,
        DEFINITIONS[name],
        n_effective=0.0,
        seeds=sample.preds.shape[0],
        note=_FAILED,
    )


def _few(n: int) -> str:
    return f"fewer than {SMALLEST_BIN} objects" if n < SMALLEST_BIN else ""

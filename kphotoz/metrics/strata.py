"""Metrics of a whole table, in its windows and in parts of it by other columns."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.metrics._screen import count_usable
from kphotoz.metrics.binned import too_few
from kphotoz.metrics.bootstrap import summary
from kphotoz.metrics.estimates import SMALLEST_BIN, Estimate
from kphotoz.metrics.point import DEFAULT, DEFINITIONS, kernel
from kphotoz.metrics.windows import SIDES, Window

__all__ = ["in_window", "parts", "stratified"]

# More values than this in a column of numbers are cut at their quartiles: our choice.
_MOST_CATEGORIES = 12
_MOST_TEXTS = 100  # values of a column of text that have a part each: our choice
_NOBODY = "no usable object in the window"


def in_window(
    z_pred: np.ndarray,
    z_true: np.ndarray,
    names: Sequence[str],
    window: Window | None,
    **options: Any,
) -> list[Estimate]:
    """Returns `summary`, or NaN with a note where nobody in the window can be scored.

    Args:
        z_pred: array (n,) or (seeds, n).
        z_true: array (n,).
        names: metric names.
        window: Window or None.
        options: of `summary`.

    Raises:
        InputError: an unknown metric.
    """
    for name in names:
        kernel(name)
    try:
        return summary(z_pred, z_true, names=names, window=window, **options)
    except InputError:
        # A sample may have nobody in a window that another one needs.
        nan, no = float("nan"), 0.0
        return [
            Estimate(name, nan, nan, 0, {}, window, DEFINITIONS[name], no, note=_NOBODY)
            for name in names
        ]


def stratified(
    z_pred: np.ndarray,
    z_true: np.ndarray,
    *,
    names: Sequence[str] = DEFAULT,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    windows: Sequence[Window | None] = (None,),
    strata: Mapping[str, np.ndarray] | None = None,
    grid: tuple[float, float] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Returns rows of metrics: every window of the whole, then of every stratum.

    A row is `Estimate.as_dict()` with "stratum" in front: "all", or the text of the
    part. A stratum of fewer than 20 usable objects gives one NaN row a metric, with a
    note.

    Args:
        z_pred: array (n,).
        z_true: array (n,).
        names: metric names.
        weights: array (n,) or None.
        groups: array (n,) or None. Rows of one object, as in `summary`.
        windows: windows to take, None for all redshifts.
        strata: text -> mask (n,), as `parts` makes them.
        grid: (low, high) or None. Redshifts outside are counted, as in `summary`.
        draws, seed: of the bootstrap.
    """
    cuts = {"all": np.ones(len(z_true), bool), **(strata or {})}
    for on in (window.on for window in windows if window is not None):
        if on not in SIDES:
            raise unknown("window", on, SIDES)
    rows = []
    for text, mask in cuts.items():
        inside = z_pred[mask], z_true[mask]
        weighted = None if weights is None else weights[mask]
        for window in windows:
            n, excluded = count_usable(*inside, weighted, window)
            if text != "all" and n < SMALLEST_BIN:
                rows += _too_few(text, names, window, n, excluded)
                continue
            estimates = summary(
                *inside,
                names=names,
                weights=weighted,
                groups=None if groups is None else groups[mask],
                window=window,
                grid=grid,
                draws=draws,
                seed=seed,
            )
            rows += [{"stratum": text, **one.as_dict()} for one in estimates]
    return rows


def parts(
    name: str, values: np.ndarray, edges: Sequence[float] | None = None
) -> dict[str, np.ndarray]:
    """Returns text -> mask of the parts of a column.

    Text (of its 100 most frequent values), booleans and up to 12 different whole
    numbers are categories; other numbers are cut at `edges`, or at their quartiles,
    right-closed. What is in no part (NaN, or beyond the edges) becomes a part of its
    own, so that nothing disappears.

    Args:
        name: str. Name of the column.
        values: array (n,).
        edges: ascending numbers, or None [default: None].
    """
    if values.ndim != 1 or values.dtype.kind not in "fiubU":
        raise InputError(
            f"Wanted: one number or text a row in column {name!r}. "
            f"Received: {values.dtype} of shape {values.shape}."
        )
    if edges is None and (values.dtype.kind in "bU" or _is_category(values)):
        return _categories(name, values)
    if values.dtype.kind == "U":
        raise InputError(
            f"Wanted: numbers to cut at edges. Received: text in {name!r}."
        )
    values = values.astype(np.float64)
    cuts = {}
    edges = _quartile_edges(values) if edges is None else edges
    windows = [Window(*pair, name) for pair in itertools.pairwise(edges)]
    texts = [str(window) for window in windows]
    if len(set(texts)) < len(texts):  # edges that six digits do not tell apart
        texts = [f"{one.low!r} < {name} ≤ {one.high!r}" for one in windows]
    cuts = {
        text: one.contains(values) for text, one in zip(texts, windows, strict=True)
    }
    return _with_rest(name, cuts, values.size)


def _categories(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the parts of equal values, of the most frequent ones if there are many.

    A column of names has as many values as rows: a mask of each would fill the memory.
    """
    distinct, counts = np.unique(values, return_counts=True)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:_MOST_TEXTS])
    cuts = {f"{name} = {value}": values == value for value in distinct[chosen]}
    return _with_rest(name, cuts, values.size)


def _with_rest(name: str, cuts: dict, count: int) -> dict[str, np.ndarray]:
    rest = np.ones(count, bool)
    for mask in cuts.values():
        rest &= ~mask
    return cuts | ({f"{name} in none of these": rest} if rest.any() else {})


def _is_category(values: np.ndarray) -> bool:
    if values.dtype.kind not in "iu":
        return False
    return np.unique(values).size <= _MOST_CATEGORIES


def _quartile_edges(values: np.ndarray) -> list[float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return []
    edges = np.unique(np.quantile(finite, (0, 0.25, 0.5, 0.75, 1)))
    # Right-closed bins would lose the smallest value.
    edges[0] = np.nextafter(edges[0], -np.inf)
    return edges.tolist()


def _too_few(
    text: str,
    names: Sequence[str],
    window: Window | None,
    n: int,
    excluded: dict[str, int],
) -> list[dict[str, Any]]:
    estimates = [too_few(name, n, window, excluded) for name in names]
    return [{"stratum": text, **one.as_dict()} for one in estimates]

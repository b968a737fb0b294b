"""Figures of a metric against what it takes: labels, parameters, examples, seconds."""

import math
import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from kphotoz.report.canvas import errorbar, figure, legend, plain, save
from kphotoz.report.content import Content
from kphotoz.report.style import (
    axis_label,
    better,
    factor,
    family,
    look,
    sample_words,
)

__all__ = ["costs", "fractions"]

_COSTS = {
    "trainable_parameters": "trainable parameters",
    "examples_seen": "examples seen in training",
    "seconds": "seconds to train",
}
# Curves with a band in one panel, our choice: more are thin lines.
_STRONG = 7


def fractions(content: Content, path: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Draws the metric against the number of labels, or returns None with one only."""
    counts = sorted({x.n_labels for x in content.rows if x.fraction and x.n_labels})
    if len(counts) < 2:
        return None
    metric, cases = content.headline, _fraction_cases(content)
    with figure(max(3.9 * len(cases), 6.5) + 0.4, 4.6) as drawn:
        grid = drawn.subplots(1, len(cases), squeeze=False)[0]
        for axes, case in zip(grid, cases, strict=True):
            strong = _strong(content, case)
            for regime in content.regimes:
                _fraction_line(axes, content, regime, case, regime in strong)
            axes.set(xscale="log", title=sample_words(*case))
            axes.set(xlabel="target labels used", ylabel=axis_label(metric))
            axes.grid()
            axes.set_xticks(_apart(counts))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
            axes.xaxis.set_minor_locator(NullLocator())
            _mark_crossover(axes, content, case)
        legend(drawn, grid)
        save(drawn, path)
    crossover = content.raw.get("crossover") or {}
    caption = (
        f"{metric} against the number of labels of the target used; bands are errors "
        "from objects and seeds. A regime that uses none is a dashed line. "
        f"Window: {content.window}. "
    )
    if len(content.regimes) > _STRONG + 1:
        caption += (
            f"Bands for zero_shot and the best {_STRONG} of each panel; the others "
            "are thin. "
        )
    if crossover.get("text"):
        caption += f"On {crossover.get('sample', 'target')}: {crossover['text']}."
    return path, caption


def _fraction_cases(content: Content) -> list[tuple[str, str]]:
    """Returns target, source and deployment, each with the truth if it is known."""
    wanted = ("target", "source", "deployment")
    first = {sample: (sample, truth) for sample, truth in reversed(content.cases)}
    return [first[name] for name in wanted if name in first] or content.cases[:1]


def _strong(content: Content, case: tuple[str, str]) -> set[str]:
    return {"zero_shot", *content.ranked(*case)[:_STRONG]}


def _apart(counts: list[int]) -> list[int]:
    """Returns the counts whose numbers do not run into each other on a log axis."""
    least = (math.log(counts[-1]) - math.log(counts[0])) / 7
    kept = [counts[-1]]
    for count in reversed(counts[:-1]):
        if math.log(kept[-1]) - math.log(count) >= least:
            kept.append(count)
    return kept[::-1]


def _fraction_line(
    axes: Axes, content: Content, regime: str, case: tuple[str, str], strong: bool
) -> None:
    metric = content.headline
    colour, marker = look(regime, content.regimes)
    thin: dict[str, Any]
    thin = {} if strong else {"lw": 0.8, "alpha": 0.55, "markersize": 3}
    held = [content.row(regime, *case, metric, f) for f in content.fractions(regime)]
    rows = [row for row in held if row and row.is_scored]
    if not rows:
        return
    if not any(row.fraction for row in rows):
        value = rows[0].value * factor(metric)
        options = {"lw": 1.2} | thin
        options.pop("markersize", None)
        axes.axhline(value, color=colour, ls="--", label=plain(regime), **options)
        return
    rows = [row for row in rows if row.n_labels]
    x = np.array([row.n_labels for row in rows], np.float64)
    y = factor(metric) * np.array([row.value for row in rows])
    error = factor(metric) * np.array([row.error for row in rows])
    if strong:
        low, high = y - np.nan_to_num(error), y + np.nan_to_num(error)
        axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
    size = 8 if marker == "*" else 5
    style: dict[str, Any]
    style = {"color": colour, "marker": marker, "markersize": size, "lw": 1.3}
    axes.plot(x, y, label=plain(regime), **(style | thin))


def _mark_crossover(axes: Axes, content: Content, case: tuple[str, str]) -> None:
    crossover = content.raw.get("crossover") or {}
    labels = crossover.get("labels")
    if labels and crossover.get("sample", "target") == case[0]:
        axes.axvline(labels, color="#333333", lw=0.9, ls=":")
        place = axes.get_xaxis_transform()
        text = f" N* = {labels:,}"
        axes.text(labels, 0.98, text, transform=place, va="top", size=8)


def costs(content: Content, path: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Draws the headline metric against costs, or returns None without costs."""
    known = [k for x in content.costs for k, v in vars(x).items() if v is not None]
    shown = [key for key in _COSTS if key in known]
    if not shown or not content.cases:
        return None
    metric, case = content.headline, content.cases[0]
    with figure(3.4 * len(shown) + 0.4, 4.3) as drawn:
        grid = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, key in zip(grid, shown, strict=True):
            _cost_panel(axes, content, case, metric, key)
            axes.set_xlabel(_COSTS[key])
            axes.grid()
        grid[0].set_ylabel(axis_label(metric))
        legend(drawn, grid)
        save(drawn, path)
    caption = (
        f"{metric} on {sample_words(*case)} against what one model costs, "
        f"{better(metric)}. What costs nothing stands at the left edge; variants of "
        f"one regime are joined in the order of their cost. Window: {content.window}."
    )
    return path, caption


def _cost_panel(
    axes: Axes, content: Content, case: tuple[str, str], metric: str, key: str
) -> None:
    points = {}
    for cost in content.costs:
        name, value = cost.regime, getattr(cost, key)
        row = content.row(name, *case, metric)
        if value is not None and row and cost.fraction == content.largest(name):
            y, error = factor(metric) * row.value, factor(metric) * row.error
            points[name] = (value, y, error)
    positive = [value for value, _, _ in points.values() if value > 0] or [1.0]
    nothing = min(positive) / 6  # where zero stands on a logarithmic axis
    axes.set(xscale="log", xlim=(nothing / 2, 2 * max(positive)))
    _join_families(axes, content, points)
    for name, (value, y, error) in points.items():
        place = value if value > 0 else nothing
        errorbar(axes, [place], [y], [error], name, content.regimes, ls="none")
    if any(value <= 0 for value, _, _ in points.values()):
        axes.axvline(nothing * 2, color="#BBBBBB", lw=0.8, ls=":")
        edge = axes.get_xaxis_transform()
        axes.text(nothing, 0.02, "none", transform=edge, ha="center", size=8)
    axes.set_xticks(_steps(min(positive), max(positive)))
    axes.xaxis.set_major_formatter(FuncFormatter(_count_words))
    axes.xaxis.set_minor_locator(NullLocator())


def _join_families(
    axes: Axes, content: Content, points: dict[str, tuple[float, float, float]]
) -> None:
    """Joins the variants of a sweep by a thin line, in the order of their cost."""
    families: dict[str, list] = {}
    for name, (value, y, _) in points.items():
        if value > 0 and math.isfinite(y):
            families.setdefault(family(name), []).append((value, y))
    for name, line in families.items():
        if len(line) > 1:
            colour, _ = look(name, [*content.regimes, name])
            axes.plot(*zip(*sorted(line), strict=True), color=colour, lw=0.8, alpha=0.6)


def _steps(low: float, high: float) -> list[float]:
    """Returns two to six round numbers about a range, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5)):
        steps = [digit * 10.0**decade for decade in decades for digit in digits]
        steps = [step for step in steps if low / 1.5 <= step <= 1.5 * high]
        if len(steps) > 2:
            break
    return steps[:: 1 + len(steps) // 7]


def _count_words(value: float, _place: int) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"

"""Figures of one number a regime: per sample, forgetting, fractions and costs."""

import math
import pathlib

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from kphotoz import metrics
from kphotoz.report.canvas import errorbar, figure, legend, lsst, save
from kphotoz.report.content import Content, finite
from kphotoz.report.style import axis_label, factor, look, sample_words

__all__ = ["bars", "costs", "forgetting", "fractions"]

_COSTS = {
    "trainable_parameters": "trainable parameters",
    "examples_seen": "examples seen in training",
    "seconds": "seconds to train",
}


def bars(
    content: Content, floors: dict[str, float], path: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Draws the headline metric, regime by sample; returns the path and the caption.

    Args:
        content: Content.
        floors: sample -> the metric of the labels themselves against the truth.
        path: PNG to write.
    """
    metric, samples = content.headline, _samples(content)
    said = []
    with figure(2.6 * len(samples) + 1.4, 0.36 * len(content.regimes) + 1.9) as drawn:
        grid = drawn.subplots(1, len(samples), sharey=True, squeeze=False)[0]
        for axes, sample in zip(grid, samples, strict=True):
            _bar_panel(axes, content, metric, sample)
            said.append(lsst(axes, metric, content.samples.get(sample, {}), True))
            if sample in floors:
                axes.axvline(floors[sample] * factor(metric), color="#555555", ls=":")
            axes.set(title=_titled(content, sample), xlabel=axis_label(metric))
            axes.grid(axis="x")
            axes.set_axisbelow(True)
        grid[0].set_yticks(range(len(content.regimes)), content.regimes)
        grid[0].invert_yaxis()
        kinds = [Patch(fc="#777777", label="against the true redshift")]
        kinds += [Patch(fc="white", ec="#777777", label="against the label")]
        drawn.legend(handles=kinds, loc="outside lower center", ncols=2)
        save(drawn, path)
    caption = (
        f"{metric} ({metrics.DEFINITIONS.get(metric, '')}) of every regime on every "
        "sample, lower is better; errors from objects and seeds. Filled: against the "
        f"true redshift; open: against the label. Window: {content.window}. "
    )
    if floors:
        caption += "Dotted: the labels themselves against the truth. "
    return path, caption + " ".join(dict.fromkeys(filter(None, said)))


def _samples(content: Content) -> list[str]:
    return list(dict.fromkeys(sample for sample, _ in content.cases))


def _titled(content: Content, sample: str) -> str:
    counts = {row["n"] for row in content.rows if row["sample"] == sample}
    return f"{sample}, N = {max(counts):,}"


def _bar_panel(axes, content: Content, metric: str, sample: str) -> None:
    truths = [truth for name, truth in content.cases if name == sample]
    height = 0.8 / len(truths)
    for place, regime in enumerate(content.regimes):
        colour, _ = look(regime, content.regimes)
        for i, truth in enumerate(truths):
            row = content.row(regime, sample, truth, metric)
            if row is None:
                continue
            value = finite(row["value"]) * factor(metric)
            error = finite(row["error"]) * factor(metric)
            face = colour if truth == "z_true" else "white"
            y = place + (i - 0.5 * (len(truths) - 1)) * height
            axes.barh(y, value, 0.86 * height, fc=face, ec=colour, lw=1.1)
            if math.isfinite(error):
                # White around black: seen on every fill.
                axes.errorbar(value, y, xerr=error, color="white", lw=3.0)
                axes.errorbar(value, y, xerr=error, color="#222222", lw=1.2)


def forgetting(content: Content, path: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Draws what adaptation costs on the source sample, or returns None without one."""
    truths = [truth for sample, truth in content.cases if sample == "source"]
    changes = {truth: _changes(content, truth) for truth in truths}
    changes = {truth: found for truth, found in changes.items() if found}
    if not changes:
        return None
    metric = content.headline
    names = [n for n in content.regimes if any(n in c for c in changes.values())]
    with figure(3.2 * len(changes) + 1.4, 0.32 * len(names) + 1.5) as drawn:
        grid = drawn.subplots(1, len(changes), sharey=True, squeeze=False)[0]
        for axes, (truth, found) in zip(grid, changes.items(), strict=True):
            for place, name in enumerate(names):
                if name in found:
                    _change(axes, place, found[name], name, content.regimes, metric)
            axes.axvline(0, color="#333333", lw=0.8)
            against = "true redshift" if truth == "z_true" else "imperfect label"
            axes.set(title=f"against the {against}")
            axes.set_xlabel(f"change of {axis_label(metric)} from zero_shot")
            axes.grid(axis="x")
        grid[0].set_yticks(range(len(names)), names)
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        save(drawn, path)
    caption = (
        "Forgetting: the change on the source sample from the unadapted base, paired "
        "by object and seed; right of the line is worse. Filled markers are resolved, "
        "open ones are not. Against imperfect labels part of the change is only less "
        "agreement with the labels' own errors."
    )
    return path, caption


def _change(axes, place, found, name, regimes, metric) -> None:
    value, error, resolved = found
    colour, marker = look(name, regimes)
    face = colour if resolved or marker == "x" else "white"
    axes.errorbar(
        value * factor(metric),
        place,
        xerr=error * factor(metric),
        color=colour,
        marker=marker,
        markersize=8 if marker == "*" else 6,
        mfc=face,
        lw=1.2,
    )


def _changes(content: Content, truth: str) -> dict[str, tuple[float, float, bool]]:
    """Returns regime -> (change, error, resolved) from zero_shot on the source."""
    found = {}
    for one in content.differences:
        here = (one["sample"], one["truth"], one["metric"])
        pair = (one["a"], one["b"])
        if here != ("source", truth, content.headline) or "zero_shot" not in pair:
            continue
        other = one["b"] if one["a"] == "zero_shot" else one["a"]
        # Only at the largest fraction, which those that learn nothing share.
        pairs = [d for d in content.differences if {d["a"], d["b"]} == set(pair)]
        largest = max(d.get("fraction") or 0.0 for d in pairs)
        if (one.get("fraction") or 0.0) != largest:
            continue
        sign = -1.0 if one["a"] == "zero_shot" else 1.0
        value, error = sign * finite(one["value"]), finite(one["error"])
        if math.isfinite(value) and math.isfinite(error):
            found[other] = (value, error, bool(one["resolved"]))
    return found


def fractions(content: Content, path: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Draws the metric against the number of labels, or returns None with one only."""
    counts = {row.get("n_labels") for row in content.rows if row.get("fraction")}
    if len(counts - {None, 0}) < 2:
        return None
    metric, cases = content.headline, _fraction_cases(content)
    with figure(4.2 * len(cases) + 0.4, 4.3) as drawn:
        grid = drawn.subplots(1, len(cases), squeeze=False)[0]
        for axes, case in zip(grid, cases, strict=True):
            for regime in content.regimes:
                _fraction_line(axes, content, regime, case, metric)
            axes.set(xscale="log", title=sample_words(*case))
            axes.set(xlabel="target labels used", ylabel=axis_label(metric))
            axes.grid()
            axes.set_xticks(sorted(counts - {None, 0}))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
            axes.xaxis.set_minor_locator(NullLocator())
            _mark_crossover(axes, content, case)
        legend(drawn, grid[0], columns=5)
        save(drawn, path)
    crossover = content.raw.get("crossover") or {}
    caption = (
        f"{metric} against the number of labels of the target used, with errors from "
        "objects and seeds. A regime that uses none is a dashed line. "
    )
    if crossover.get("text"):
        caption += f"On {crossover.get('sample', 'target')}: {crossover['text']}."
    return path, caption


def _fraction_cases(content: Content) -> list[tuple[str, str]]:
    wanted = [c for c in content.cases if c[0] in ("deployment", "target")]
    first = {sample: (sample, truth) for sample, truth in reversed(wanted)}
    return [first[s] for s in ("deployment", "target") if s in first] or content.cases[
        :1
    ]


def _fraction_line(axes, content, regime, case, metric) -> None:
    colour, _ = look(regime, content.regimes)
    rows = [content.row(regime, *case, metric, f) for f in content.fractions(regime)]
    rows = [row for row in rows if row and math.isfinite(finite(row["value"]))]
    if not rows:
        return
    if not any(row.get("fraction") for row in rows):
        value = rows[0]["value"] * factor(metric)
        axes.axhline(value, color=colour, ls="--", lw=1.2, label=regime)
        return
    rows = [row for row in rows if row.get("n_labels")]
    x = [row["n_labels"] for row in rows]
    y = factor(metric) * np.array([row["value"] for row in rows])
    error = factor(metric) * np.array([finite(row["error"]) for row in rows])
    errorbar(axes, x, y, error, regime, content.regimes)


def _mark_crossover(axes, content, case) -> None:
    crossover = content.raw.get("crossover") or {}
    labels = crossover.get("labels")
    if labels and crossover.get("sample", "target") == case[0]:
        axes.axvline(labels, color="#333333", lw=0.9, ls=":")
        place = axes.get_xaxis_transform()
        axes.text(labels, 0.98, f" N* = {labels}", transform=place, va="top", size=8)


def costs(content: Content, path: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """Draws the headline metric against costs, or returns None without costs."""
    shown = [k for k in _COSTS if any(c.get(k) is not None for c in content.costs)]
    if not shown or not content.cases:
        return None
    metric, case = content.headline, content.cases[0]
    with figure(3.4 * len(shown) + 0.4, 3.9) as drawn:
        grid = drawn.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, key in zip(grid, shown, strict=True):
            _cost_panel(axes, content, case, metric, key)
            axes.set_xlabel(_COSTS[key])
            axes.grid()
        grid[0].set_ylabel(axis_label(metric))
        legend(drawn, grid[0], columns=5)
        save(drawn, path)
    caption = (
        f"{metric} on {sample_words(*case)} against what one model costs; lower left "
        "is better. What costs nothing stands at the left edge."
    )
    return path, caption


def _cost_panel(axes, content, case, metric, key) -> None:
    points = {}
    for cost in content.costs:
        name, value = cost["regime"], cost.get(key)
        row = content.row(name, *case, metric)
        last = (cost.get("fraction") or 0.0) == content.largest(name)
        if value is not None and row and last:
            y, error = (factor(metric) * finite(row[k]) for k in ("value", "error"))
            points[name] = (value, y, error)
    positive = [value for value, _, _ in points.values() if value > 0] or [1.0]
    nothing = min(positive) / 6  # where zero stands on a logarithmic axis
    axes.set(xscale="log", xlim=(nothing / 2, 2 * max(positive)))
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

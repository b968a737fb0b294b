"""Figures of one number a regime: on every sample, and what is forgotten."""

import math
import pathlib

from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kphotoz import metrics
from kphotoz.metrics.point import improves
from kphotoz.report.canvas import (
    figure,
    plain,
    requirement_words,
    requirements,
    save,
)
from kphotoz.report.content import Content
from kphotoz.report.style import axis_label, better, factor, look

__all__ = ["bars", "forgetting"]


def bars(
    content: Content, metric: str, floors: dict[str, float], path: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Draws a metric, regime by sample; returns the path and the caption.

    Args:
        content: Content.
        metric: str.
        floors: sample -> the metric of the labels themselves against the truth.
        path: PNG to write.
    """
    samples = _samples(content)
    said = []
    with figure(2.6 * len(samples) + 1.4, 0.36 * len(content.regimes) + 1.9) as drawn:
        grid = drawn.subplots(1, len(samples), sharey=True, squeeze=False)[0]
        for axes, sample in zip(grid, samples, strict=True):
            _bar_panel(axes, content, metric, sample)
            facts = content.samples.get(sample, {})
            said += requirements(axes, metric, facts, content.windows[0], sample, True)
            if sample in floors:
                axes.axvline(
                    floors[sample] * factor(metric), color="#555555", ls=":", lw=1.8
                )
            axes.set(title=_titled(content, sample), xlabel=axis_label(metric))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(axis="x")
            axes.set_axisbelow(True)
        grid[0].set_yticks(range(len(content.regimes)), map(plain, content.regimes))
        grid[0].set_ylim(len(content.regimes) - 0.4, -0.6)
        kinds = [Patch(fc="#777777", label="against the true redshift")]
        kinds += [Patch(fc="white", ec="#777777", label="against the label")]
        drawn.legend(handles=kinds, loc="outside lower center", ncols=2)
        save(drawn, path)
    caption = (
        f"{metric} ({metrics.DEFINITIONS.get(metric, '')}) of every regime on every "
        f"sample, {better(metric)}; errors from objects and seeds. Filled: against "
        f"the true redshift; open: against the label. Window: {content.window}. "
    )
    if floors:
        caption += "Thick dotted: the labels themselves against the truth. "
    return path, caption + requirement_words(said)


def _worse(metric: str) -> str:
    return "left" if improves(metric, 1.0) else "right"


def _samples(content: Content) -> list[str]:
    return list(dict.fromkeys(sample for sample, _ in content.cases))


def _titled(content: Content, sample: str) -> str:
    rows = [row for row in content.rows if row.sample == sample]
    rows = [row for row in rows if row.window == content.windows[0]]
    return f"{sample}, N = {max(row.n for row in rows):,}"


def _bar_panel(axes: Axes, content: Content, metric: str, sample: str) -> None:
    truths = [truth for name, truth in content.cases if name == sample]
    height = 0.8 / len(truths)
    for place, regime in enumerate(content.regimes):
        colour, _ = look(regime, content.regimes)
        for i, truth in enumerate(truths):
            row = content.row(regime, sample, truth, metric)
            if row is None:
                continue
            value, error = row.value * factor(metric), row.error * factor(metric)
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
    changes = {truth: changed for truth, changed in changes.items() if changed}
    if not changes:
        return None
    metric = content.headline
    names = [n for n in content.regimes if any(n in c for c in changes.values())]
    with figure(3.2 * len(changes) + 1.4, 0.32 * len(names) + 1.5) as drawn:
        grid = drawn.subplots(1, len(changes), sharey=True, squeeze=False)[0]
        for axes, (truth, changed) in zip(grid, changes.items(), strict=True):
            for place, name in enumerate(names):
                if name in changed:
                    _change(axes, place, changed[name], name, content.regimes, metric)
            axes.axvline(0, color="#333333", lw=0.8)
            against = "true redshift" if truth == "z_true" else "imperfect label"
            axes.set(title=f"against the {against}")
            axes.set_xlabel(f"change of {axis_label(metric)} from zero_shot")
            axes.grid(axis="x")
        grid[0].set_yticks(range(len(names)), map(plain, names))
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        save(drawn, path)
    caption = (
        "Forgetting: the change on the source sample from the unadapted base, paired "
        f"by object and seed; {_worse(metric)} of the line is worse. Filled markers "
        "are resolved, open ones are not. Against imperfect labels part of the change "
        "is only less agreement with the labels' own errors."
    )
    return path, caption


def _change(
    axes: Axes,
    place: int,
    change: tuple[float, float, bool],
    name: str,
    regimes: list[str],
    metric: str,
) -> None:
    value, error, resolved = change
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
    changes = {}
    for one in content.differences:
        here = (one.sample, one.truth, one.metric)
        if here != ("source", truth, content.headline) or "zero_shot" not in one.sides:
            continue
        # Only at the largest fraction, which those that learn nothing share.
        pairs = [d for d in content.differences if d.sides == one.sides]
        if (one.fraction or 0.0) == max(d.fraction or 0.0 for d in pairs):
            other = one.b if one.a == "zero_shot" else one.a
            change = one.turned(other)
            if math.isfinite(change.value) and math.isfinite(change.error):
                changes[other] = (change.value, change.error, change.resolved)
    return changes

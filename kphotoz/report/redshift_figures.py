"""Figures of predictions: against the reference, and trends with redshift."""

import pathlib
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from kphotoz import metrics
from kphotoz.report.canvas import (
    errorbar,
    figure,
    legend,
    plain,
    requirement_words,
    requirements,
    save,
)
from kphotoz.report.content import Content, Panel
from kphotoz.report.style import axis_label, factor, number, sample_words

__all__ = ["redshifts", "trends"]

TREND_METRICS = ("bias_median", "nmad", "outlier_015")
_WORDS = {
    "z_pred": "z_phot: the predicted redshift",
    "z_true": "z_true: the reference redshift",
    "magnitude": "magnitude, reference band",
}
_TITLES = {
    "z_pred": "against z_phot, on which a user can cut",
    "z_true": "against z_true, which no user has",
    "magnitude": "against magnitude",
}
# Panels and curves that stay readable, our choice.
_MOST_PANELS = 15
_MOST_CURVES = 10


def redshifts(
    content: Content, panel: Panel, case: tuple[str, str], path: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Draws z_pred against the reference, one panel a regime; returns path, caption."""
    names, hidden = _chosen(content, panel, case, _MOST_PANELS)
    lines = -(-len(names) // 5)
    columns = -(-len(names) // lines)
    limits = (0.0, _top(panel, names))
    edges = np.linspace(*limits, 61)
    with figure(2.35 * columns + 0.9, 2.35 * lines + 0.5) as drawn:
        grid = drawn.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        counts = {n: _histogram(panel.z, panel.preds[n], edges) for n in names}
        norm = LogNorm(1, max(2, max(c.max() for c in counts.values())))
        for axes in grid.flat[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(grid.flat, names, strict=False):
            image = np.ma.masked_equal(counts[name].T, 0)
            mesh = axes.pcolormesh(edges, edges, image, norm=norm, cmap="viridis_r")
            _guides(axes, limits)
            row = content.row(name, *case, content.headline)
            words = number(content.headline, row.value, row.error) if row else ""
            axes.set_title(plain(name))
            text = f"{content.headline}\n{words}"
            box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5}
            axes.text(
                0.04, 0.96, text, transform=axes.transAxes, va="top", size=7.5, bbox=box
            )
        seeds = next(iter(panel.preds.values())).shape[0]
        drawn.colorbar(
            mesh,
            ax=grid,
            label="galaxies in a cell, all seeds",
            format="%d",
            ticks=_ticks(norm.vmax or 1.0),
        )
        reference = "true redshift z_true" if case[1] == "z_true" else "label redshift"
        drawn.supxlabel(reference, size=9)
        drawn.supylabel("predicted redshift z_phot", size=9)
        save(drawn, path)
    caption = (
        f"Predicted against reference redshift on {sample_words(*case)}: N = "
        f"{panel.z.size} galaxies, {seeds} seeds overlaid, logarithmic counts. Solid: "
        f"equality; dotted: |dz| = 0.15. Window of the numbers: {content.window}. "
        f"{hidden}"
    )
    return path, caption.strip()


def _top(panel: Panel, names: list[str]) -> float:
    """Returns the upper limit of both axes, which no failed regime rules."""
    reference = np.quantile(panel.z[np.isfinite(panel.z)], 0.999)
    preds = np.concatenate([panel.preds[name].ravel() for name in names])
    preds = preds[np.isfinite(preds)]
    highest = np.quantile(preds, 0.999) if preds.size else reference
    return max(1.03 * min(max(highest, reference), 1.5 * reference), 0.1)


def _chosen(
    content: Content, panel: Panel, case: tuple[str, str], most: int
) -> tuple[list[str], str]:
    """Returns the base and the best regimes, in order, and who is left out in words."""
    names = list(panel.preds)
    best = [name for name in content.ranked(*case) if name in names]
    ranked = [name for name in names if name == "zero_shot"] + best
    kept = set(list(dict.fromkeys(ranked + names))[:most])
    hidden = [name for name in names if name not in kept]
    words = f"Not drawn, for room: {', '.join(hidden)}." if hidden else ""
    return [name for name in names if name in kept], words


def _ticks(top: float) -> list[int]:
    steps = [digit * 10**power for power in range(7) for digit in (1, 3)]
    return [step for step in steps if step <= top]


def _histogram(z, preds, edges):
    repeated = np.broadcast_to(z, preds.shape).ravel()
    keep = np.isfinite(repeated) & np.isfinite(preds.ravel())
    # What lies beyond an edge is drawn in the last cell, so that no outlier vanishes.
    inside = np.clip(preds.ravel()[keep], edges[0], edges[-1])
    shown = np.clip(repeated[keep], edges[0], edges[-1])
    return np.histogram2d(shown, inside, bins=(edges, edges))[0]


def _guides(axes, limits):
    line = np.array(limits)
    axes.plot(line, line, color="#333333", lw=0.8)
    for sign in (-1, 1):
        dotted = line + sign * 0.15 * (1 + line)
        axes.plot(line, dotted, color="#333333", lw=0.7, ls=":")
    axes.set(xlim=limits, ylim=limits, aspect="equal")


def trends(
    content: Content, panel: Panel, case: tuple[str, str], path: pathlib.Path
) -> tuple[pathlib.Path, str]:
    """Draws bias, scatter and outliers in bins; returns the path and the caption."""
    names = [m for m in TREND_METRICS if m in content.metrics] or [content.headline]
    strong = _strong(content, panel, case)
    sides = _sides(panel, strong)
    drawn_regimes, hidden = _chosen(content, panel, case, _MOST_CURVES)
    said: list = []
    with figure(3.7 * len(names) + 0.4, 2.4 * len(sides) + 1.1) as drawn:
        grid = drawn.subplots(
            len(sides), len(names), sharex="row", sharey="col", squeeze=False
        )
        for column, metric in zip(grid.T, names, strict=True):
            shown = []
            for axes, (side, edges) in zip(column, sides.items(), strict=True):
                curves = (panel, metric, side, edges, strong, drawn_regimes)
                shown += _trend(axes, content, *curves)
                _label_floor(axes, panel, metric, side, edges, case)
                facts = content.samples.get(case[0], {})
                said += requirements(axes, metric, facts, None)
                axes.set(xlabel=_WORDS[side], ylabel=axis_label(metric))
                axes.grid(axis="y")
            _limit(column[0], metric, shown)
        for line, side in zip(grid, sides, strict=True):
            line[0].set_title(_TITLES[side], weight="bold")
        legend(drawn, grid)
        save(drawn, path)
    kept, lines = ", ".join(strong), requirement_words(said)
    caption = (
        f"Trends on {sample_words(*case)}, N = {panel.z.size}, all redshifts: bins of "
        f"equal numbers in z_phot, z_true{' and magnitude' * ('magnitude' in sides)}, "
        "20 or more galaxies each, means over seeds. The bias against z_phot is the "
        "one to correct and to cut on, since a catalogue has no z_true; against z_true "
        f"regression to the mean tilts it. Errors are drawn for {kept}; the others are "
        f"thin, and may leave the frame. {_floor_words(panel, case)}{lines} {hidden}"
    )
    return path, caption.strip()


def _has_floor(panel: Panel, case: tuple[str, str]) -> bool:
    return case[1] == "z_true" and bool(np.any(panel.label != panel.z))


def _floor_words(panel: Panel, case: tuple[str, str]) -> str:
    if not _has_floor(panel, case):
        return ""
    return "Black dash-dotted: the labels themselves against the truth. "


def _label_floor(
    axes: Axes,
    panel: Panel,
    metric: str,
    side: str,
    edges: np.ndarray,
    case: tuple[str, str],
) -> None:
    """Draws the errors that the labels have themselves, where they can be binned."""
    if side == "z_pred" or not _has_floor(panel, case):
        return
    by = panel.magnitude if side == "magnitude" else side
    bins = metrics.binned(
        metric,
        panel.label,
        panel.z,
        edges,
        by,
        name=side,
        weights=panel.weights,
        draws=0,
    )
    value = factor(metric) * np.array([one.value for one in bins])
    middles = 0.5 * (edges[1:] + edges[:-1])
    style: dict[str, Any] = {"color": "#111111", "ls": "-.", "lw": 1.0, "zorder": 2}
    axes.plot(middles, value, label="the labels themselves", **style)


def _sides(panel: Panel, strong: list[str]) -> dict[str, np.ndarray]:
    """Returns what to bin by -> bin edges, of equal numbers."""
    named = strong or list(panel.preds)
    pooled = np.concatenate([panel.preds[name][0] for name in named])
    sides = {"z_pred": pooled, "z_true": panel.z}
    if panel.magnitude is not None and np.isfinite(panel.magnitude).sum() > 100:
        sides["magnitude"] = panel.magnitude
    bins = int(np.clip(panel.z.size // 60, 2, 8))
    edges_of = {}
    for side, values in sides.items():
        values = values[np.isfinite(values)]
        shares = np.linspace(0.005, 0.995, bins + 1)
        edges = np.unique(np.quantile(values, shares) if values.size else [])
        if edges.size > 1:
            edges_of[side] = edges
    return edges_of


def _strong(content: Content, panel: Panel, case: tuple[str, str]) -> list[str]:
    """Returns the regimes drawn with errors: the base and the best four."""
    best = [name for name in content.ranked(*case) if name in panel.preds][:4]
    names = [name for name in panel.preds if name == "zero_shot"] + best
    return list(dict.fromkeys(names))


def _trend(
    axes: Axes,
    content: Content,
    panel: Panel,
    metric: str,
    side: str,
    edges: np.ndarray,
    strong: list[str],
    drawn: list[str],
) -> list[np.ndarray]:
    """Draws all regimes of one panel; returns the values of the strong ones."""
    by = panel.magnitude if side == "magnitude" else side
    middles = 0.5 * (edges[1:] + edges[:-1])
    width = np.min(np.diff(edges))
    names, shown = content.regimes, []
    for name in drawn:
        bins = metrics.binned(
            metric,
            panel.preds[name],
            panel.z,
            edges,
            by,
            name=side,
            weights=panel.weights,
            groups=panel.groups,
            draws=100 if name in strong else 0,
        )
        value = factor(metric) * np.array([b.value for b in bins])
        error = factor(metric) * np.array([b.error for b in bins])
        if name in strong:
            # Moved a little, so that error bars do not hide each other.
            x = middles + 0.06 * width * (strong.index(name) - len(strong) / 2)
            errorbar(axes, x, value, error, name, names, zorder=3)
            shown.append(value)
        else:
            thin = {"alpha": 0.45, "lw": 0.8, "markersize": 3, "zorder": 2}
            errorbar(axes, middles, value, 0 * value, name, names, **thin)
    return shown


def _limit(axes: Axes, metric: str, shown: list[np.ndarray]) -> None:
    """Sets the limits by the strong regimes, so that a failed one does not rule."""
    values = np.concatenate(shown) if shown else np.array([])
    values = values[np.isfinite(values)]
    if not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if metric != "bias_median":
        low = 0.0
    room = 0.15 * max(high - low, 1e-3)
    axes.set_ylim(low - (room if metric == "bias_median" else 0), high + room)

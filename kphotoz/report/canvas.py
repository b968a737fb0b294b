"""A plain matplotlib figure without global state, and what all figures share."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kphotoz.files import atomic
from kphotoz.metrics import Window
from kphotoz.metrics.point import RATES, SIGNED
from kphotoz.report.requirements import REQUIREMENTS, Requirement
from kphotoz.report.style import factor, look

__all__ = [
    "errorbar",
    "figure",
    "legend",
    "plain",
    "requirement_words",
    "requirements",
    "save",
]

GREY = "#8A8A8A"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.titlelocation": "left",
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "font.family": "DejaVu Sans",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}


@contextlib.contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """Yields an empty figure of a size in inches, in the house style."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield Figure(figsize=(width, height), dpi=150, layout="constrained")


def save(drawn: Figure, path: pathlib.Path) -> pathlib.Path:
    """Writes a PNG of 150 dots an inch and returns its path."""
    with atomic(path) as aside:
        # `savefig` would draw twice, first for the layout alone: a quarter of the time.
        FigureCanvasAgg(drawn).print_png(aside, metadata={"Software": None})
    return path


def errorbar(
    axes: Axes,
    x: Any,
    y: Any,
    error: Any,
    regime: str,
    regimes: list[str],
    **options: Any,
) -> None:
    """Draws points of a regime with errors, in its colour and marker."""
    colour, marker = look(regime, regimes)
    size = 8 if marker == "*" else 5
    error = np.where(np.isfinite(error), error, 0.0)
    style: dict[str, Any]
    style = {"color": colour, "marker": marker, "markersize": size, "lw": 1.2}
    style |= {"capsize": 0, "elinewidth": 1.0, "label": plain(regime)}
    axes.errorbar(x, y, yerr=error, **(style | options))


def plain(name: str) -> str:
    """Returns a name as a figure shows it: no mathematics, no hidden label."""
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def legend(drawn: Figure, axes: Any, **options: Any) -> None:
    """Puts one legend for the whole figure below it, as many columns as there is room.

    Args:
        drawn: Figure.
        axes: one or several axes; a name that several have is shown once.
        options: of matplotlib.
    """
    named: dict[str, Any] = {}
    for one in np.atleast_1d(axes).flat:
        handles, names = one.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    if not named:
        return
    width = 0.5 + 0.075 * max(map(len, named))  # inches of one entry
    columns = max(1, min(len(named), int(drawn.get_figwidth() / width)))
    drawn.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=columns,
        **options,
    )


def requirements(
    axes: Axes,
    metric: str,
    sample: dict,
    window: Window | None,
    name: str = "",
    vertical: bool = False,
) -> list[tuple[Requirement, str, str, str]]:
    """Draws the requirement lines of a metric; returns what `requirement_words` needs.

    In colour only where the sample is the one that the requirement is written for;
    grey elsewhere, and the words give the reason.

    Args:
        axes: of matplotlib.
        metric: str.
        sample: dict with "magnitude", as `magnitude_facts` gives it.
        window: Window of the numbers, or None.
        name: str. The sample's name, where a figure has several.
        vertical: bool. The metric is along x.
    """
    drawn = []
    for one in REQUIREMENTS:
        if metric not in one.lines:
            continue
        reason = one.against(sample, window)
        value = one.lines[metric] * factor(metric)
        draw = axes.axvline if vertical else axes.axhline
        colour = GREY if reason else one.colour
        for place in (-value, value) if metric in SIGNED else (value,):
            draw(place, color=colour, lw=0.9, ls=one.dashes, zorder=1)
        drawn.append((one, metric, name, reason))
    return drawn


def requirement_words(drawn: list[tuple[Requirement, str, str, str]]) -> str:
    """Returns a sentence for each requirement that `requirements` drew."""
    sentences = []
    for one in REQUIREMENTS:
        mine = [(m, name, reason) for r, m, name, reason in drawn if r is one]
        if not mine:
            continue
        metrics = dict.fromkeys(metric for metric, _, _ in mine)
        limits = ", ".join(_limit_words(m, one.lines[m]) for m in metrics)
        why = dict.fromkeys((name, reason) for _, name, reason in mine if reason)
        whole = {(name, reason) for _, name, reason in mine}
        words = [f"{f'{name}: ' if name else ''}{reason}" for name, reason in why]
        colour = (
            "" if not why else " grey" if len(why) == len(whole) else " partly grey"
        )
        kind = "dashed" if one.dashes[1][0] > 2 else "dotted"
        sentence = (
            f"{kind.capitalize()}{colour}: {one.name} ({limits}), for {one.meant}"
        )
        sentences.append(
            sentence + (f"; grey since {'; '.join(words)}." if why else ".")
        )
    return " ".join(sentences)


def _limit_words(metric: str, value: float) -> str:
    name = f"|{metric}|" if metric in SIGNED else metric
    return f"{name} < {value:.0%}" if metric in RATES else f"{name} < {value:g}"

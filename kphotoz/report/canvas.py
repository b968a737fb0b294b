"""A plain matplotlib figure without global state, and what all figures share."""

import contextlib
import pathlib
from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from kphotoz.files import atomic
from kphotoz.report.style import factor, look

__all__ = ["LSST_LINES", "errorbar", "figure", "legend", "lsst", "save"]

GREY = "#8A8A8A"
# Source: the lines drawn by Seenivasan+2026; they hold for the LSST Gold sample.
LSST_LINES = {"bias_median": 0.003, "nmad": 0.02}
_STYLE = {
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
        yield Figure(figsize=(width, height), layout="constrained")


def save(drawn: Figure, path: pathlib.Path) -> pathlib.Path:
    """Writes a PNG of 150 dots an inch and returns its path."""
    with atomic(path) as aside:
        drawn.savefig(aside, dpi=150, metadata={"Software": None})
    return path


def errorbar(axes, x, y, error, regime: str, regimes: list[str], **options) -> None:
    """Draws points of a regime with errors, in its colour and marker."""
    colour, marker = look(regime, regimes)
    size = 8 if marker == "*" else 5
    error = np.where(np.isfinite(error), error, 0.0)
    style = {"color": colour, "marker": marker, "markersize": size, "lw": 1.2}
    style |= {"capsize": 0, "elinewidth": 1.0, "label": regime}
    axes.errorbar(x, y, yerr=error, **(style | options))


def legend(drawn: Figure, axes, *, columns: int, **options) -> None:
    """Puts one legend for the whole figure below it."""
    handles, names = axes.get_legend_handles_labels()
    found = dict(zip(names, handles, strict=True))
    drawn.legend(
        found.values(), found, loc="outside lower center", ncols=columns, **options
    )


def lsst(axes, metric: str, sample: dict, vertical: bool = False) -> str:
    """Draws the LSST requirement of a metric, if any; returns what to say of it.

    In colour only where the sample says `lsst_gold`, since the requirement is defined
    for that sample; grey elsewhere, and the words give the reason.
    """
    if metric not in LSST_LINES:
        return ""
    value = LSST_LINES[metric] * factor(metric)
    gold = bool(sample.get("lsst_gold"))
    draw = axes.axvline if vertical else axes.axhline
    for place in (-value, value) if metric == "bias_median" else (value,):
        draw(place, color="#009E73" if gold else GREY, lw=0.9, ls=(0, (4, 2)), zorder=1)
    name = "|bias| < 0.003" if metric == "bias_median" else "scatter < 0.02"
    if gold:
        return f"Dashed: LSST requirement {name}."
    return (
        f"Dashed grey: LSST requirement {name}; it holds for the Gold sample "
        "(i < 25.3), which this is not."
    )

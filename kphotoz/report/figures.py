"""Writes the figures of a comparison, each with the caption the page prints."""

import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kphotoz.files import write_json
from kphotoz.report import bar_figures, curve_figures, redshift_figures
from kphotoz.report.content import Content, Panel

__all__ = ["CAPTIONS", "write_figures"]

CAPTIONS = "captions.json"


def write_figures(
    comparison: Mapping[str, Any],
    predictions: Mapping[str, np.ndarray] | None,
    folder: str | os.PathLike,
    each: Callable[[Callable, list], Iterable] = map,
) -> list[pathlib.Path]:
    """Writes PNG figures and their captions; returns the paths in page order.

    Args:
        comparison: dict as in comparison.json.
        predictions: the columns of predictions.parquet, or None: then the figures that
            need single objects are left out.
        folder: made if missing. Captions go to captions.json beside the figures.
        each: calls a function with every figure to draw, as `map` does, or the `map`
            of an executor to draw several at once. [default: map]
    """
    folder = pathlib.Path(folder)
    content = Content(comparison)
    if not content.rows or not content.cases:
        return []
    case = content.cases[0]
    panel = _panel(content, predictions, case)
    both = next((one for one in content.cases if one[0] == "both"), None)
    whole = _panel(content, predictions, both) if both else None
    bars = functools.partial(_bars, content)
    redshifts = functools.partial(redshift_figures.redshifts, content)
    drawn = [
        functools.partial(bars, content.headline, folder / "bars.png"),
        panel and functools.partial(redshifts, panel, case, folder / "redshifts.png"),
        whole
        and functools.partial(redshifts, whole, both, folder / "redshifts_both.png"),
        panel
        and functools.partial(
            redshift_figures.trends, content, panel, case, folder / "trends.png"
        ),
        functools.partial(bar_figures.forgetting, content, folder / "forgetting.png"),
        functools.partial(curve_figures.fractions, content, folder / "fractions.png"),
        functools.partial(curve_figures.costs, content, folder / "costs.png"),
    ]
    more = [metric for metric in content.metrics if metric != content.headline]
    drawn += [functools.partial(bars, x, folder / f"bars_{x}.png") for x in more]
    made = each(_call, [one for one in drawn if one])
    made = [one for one in made if one]
    write_json(folder / CAPTIONS, {path.name: words for path, words in made})
    return [path for path, _ in made]


def _call(draw: Callable) -> tuple[pathlib.Path, str] | None:
    return draw()


def _panel(
    content: Content,
    predictions: Mapping[str, np.ndarray] | None,
    case: tuple[str, str],
) -> Panel | None:
    """Returns the predictions on a sample, None where nothing can be drawn of it."""
    panel = content.panel(predictions, *case) if predictions else None
    return panel if panel is not None and np.isfinite(panel.z).any() else None


def _bars(
    content: Content, metric: str, path: pathlib.Path
) -> tuple[pathlib.Path, str]:
    floors = {
        sample: one.value
        for (sample, name), one in content.floors.items()
        if name == metric and one.is_scored
    }
    return bar_figures.bars(content, metric, floors, path)

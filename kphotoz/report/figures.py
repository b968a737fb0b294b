"""Writes the figures of a comparison, each with the caption the page prints."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kphotoz.files import write_json
from kphotoz.report import bar_figures, curve_figures, redshift_figures
from kphotoz.report.content import Content, finite

__all__ = ["CAPTIONS", "write_figures"]

CAPTIONS = "captions.json"


def write_figures(
    comparison: Mapping[str, Any],
    predictions: Mapping[str, np.ndarray] | None,
    folder: str | os.PathLike,
) -> list[pathlib.Path]:
    """Writes PNG figures and their captions; returns the paths in page order.

    Args:
        comparison: dict as in comparison.json.
        predictions: the columns of predictions.parquet, or None: then the figures that
            need single objects are left out.
        folder: made if missing. Captions go to captions.json beside the figures.
    """
    folder = pathlib.Path(folder)
    content = Content(comparison)
    if not content.rows or not content.cases:
        return []
    case = content.cases[0]
    panel = _panel(content, predictions, case)
    both = next((one for one in content.cases if one[0] == "both"), None)
    whole = _panel(content, predictions, both) if both else None
    made = [
        _bars(content, content.headline, folder / "bars.png"),
        panel
        and redshift_figures.redshifts(content, panel, case, folder / "redshifts.png"),
        whole
        and redshift_figures.redshifts(
            content, whole, both, folder / "redshifts_both.png"
        ),
        panel and redshift_figures.trends(content, panel, case, folder / "trends.png"),
        bar_figures.forgetting(content, folder / "forgetting.png"),
        curve_figures.fractions(content, folder / "fractions.png"),
        curve_figures.costs(content, folder / "costs.png"),
    ]
    more = [metric for metric in content.metrics if metric != content.headline]
    made += [_bars(content, name, folder / f"bars_{name}.png") for name in more]
    made = [one for one in made if one]
    write_json(folder / CAPTIONS, {path.name: words for path, words in made})
    return [path for path, _ in made]


def _panel(content: Content, predictions, case: tuple[str, str]):
    """Returns the predictions on a sample, None where nothing can be drawn of it."""
    panel = content.panel(predictions, *case) if predictions else None
    return panel if panel is not None and np.isfinite(panel.z).any() else None


def _bars(content: Content, metric: str, path: pathlib.Path):
    floors = {
        sample: finite(one["value"])
        for (sample, name), one in content.floors.items()
        if name == metric and np.isfinite(finite(one["value"]))
    }
    return bar_figures.bars(content, metric, floors, path)

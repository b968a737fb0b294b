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
    panel = content.panel(predictions, *case) if predictions else None
    if panel is not None and not np.isfinite(panel.z).any():
        panel = None
    floors = _floors(content)
    made = [
        bar_figures.bars(content, floors, folder / "bars.png"),
        panel
        and redshift_figures.redshifts(content, panel, case, folder / "redshifts.png"),
        panel and redshift_figures.trends(content, panel, case, folder / "trends.png"),
        bar_figures.forgetting(content, folder / "forgetting.png"),
        curve_figures.fractions(content, folder / "fractions.png"),
        curve_figures.costs(content, folder / "costs.png"),
    ]
    made = [one for one in made if one]
    write_json(folder / CAPTIONS, {path.name: words for path, words in made})
    return [path for path, _ in made]


def _floors(content: Content) -> dict[str, float]:
    """Returns sample -> headline metric of the labels themselves against the truth."""
    found = {
        sample: finite(one["value"])
        for (sample, metric), one in content.floors.items()
        if metric == content.headline
    }
    return {sample: value for sample, value in found.items() if np.isfinite(value)}

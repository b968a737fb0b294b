"""Two samples along their principal components, in several views."""

import pathlib
from collections.abc import Mapping

import numpy as np

from kphotoz.report.canvas import figure, legend, plain, save

__all__ = ["draw_components"]

_COLOURS = ("#3B6FB6", "#D1602B")
_SHOWN = 500  # points of a sample; more hide each other


def draw_components(
    source: Mapping[str, np.ndarray],
    target: Mapping[str, np.ndarray],
    names: tuple[str, str],
    path: pathlib.Path,
) -> pathlib.Path:
    """Draws the first two principal components of both samples; returns the path.

    They are of both samples together, each feature scaled by its spread. At most 500
    objects of a sample are shown.

    Args:
        source: dict of view to float array (n, feature).
        target: the same, (m, feature).
        names: of source and target.
        path: PNG to write.
    """
    with figure(2.9 * len(source), 3.4) as drawn:
        grid = drawn.subplots(1, len(source), squeeze=False)[0]
        for axes, (view, table) in zip(grid, source.items(), strict=True):
            both = np.concatenate([table, target[view]])
            scale = both.std(axis=0)
            both = (both - both.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
            _, directions = np.linalg.eigh(both.T @ both)
            points = both @ directions[:, ::-1][:, :2]
            if points.shape[1] < 2:
                points = np.pad(points, ((0, 0), (0, 1)))
            sides = points[: len(table)], points[len(table) :]
            for side, colour, name in zip(sides, _COLOURS, names, strict=True):
                axes.scatter(
                    *side[:_SHOWN].T, s=5, color=colour, alpha=0.5, lw=0,
                    label=plain(name),
                )  # fmt: skip
            axes.set(title=view, xlabel="component 1")
        grid[0].set_ylabel("component 2")
        legend(drawn, grid, markerscale=3)
    return save(drawn, path)

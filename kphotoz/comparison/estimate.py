"""Metrics and paired differences of a comparison, as rows of its JSON."""

from typing import TYPE_CHECKING

import numpy as np

from kphotoz import metrics
from kphotoz.comparison.predictions import Scored
from kphotoz.errors import InputError
from kphotoz.metrics.strata import in_window
from kphotoz.recipes.schema import Evaluation

if TYPE_CHECKING:
    from kphotoz.comparison.aggregate import Tables

__all__ = ["differences", "estimates", "rows"]


def estimates(
    chosen: Evaluation,
    z_pred: np.ndarray,
    scored: Scored,
    window: metrics.Window | None,
    facts: dict,
) -> list[dict]:
    """Returns one row a metric; where a window holds nobody, NaN and a note.

    Args:
        chosen: Evaluation of the recipe.
        z_pred: (seeds, n) predictions.
        scored: Scored. The n objects.
        window: Window or None.
        facts: dict. What stands in front of every row.
    """
    found = in_window(
        z_pred,
        scored.z,
        chosen.metrics,
        window,
        weights=scored.weights,
        groups=scored.groups,
        grid=chosen.grid,
        draws=chosen.draws,
    )
    return [
        {
            **facts,
            "window": None if window is None else str(window),
            "metric": one.metric,
            "value": one.value,
            "error": one.error,
            "n": one.n,
            "excluded": one.excluded,
            "flagged": one.flagged,
            "note": one.note,
            "seeds": len(z_pred),
        }
        for one in found
    ]


def rows(
    tables: "Tables",
    regime: str,
    fraction: float,
    scored: Scored,
    window: metrics.Window | None,
) -> list[dict]:
    """Returns the rows of one regime, label fraction, sample and window."""
    facts = {
        "regime": regime,
        "fraction": fraction,
        "n_labels": tables.label_count(regime, fraction),
        "sample": scored.name,
        "truth": scored.truth,
    }
    z_pred = tables.predictions(regime, fraction, scored)
    return estimates(tables.recipe.evaluation, z_pred, scored, window, facts)


def differences(
    tables: "Tables",
    cases: list[tuple[str, float]],
    scored: Scored,
    metric: str,
    facts: dict,
) -> list[dict]:
    """Returns the paired difference of every pair of cases in the headline's window.

    Args:
        tables: Tables.
        cases: list of (regime, fraction).
        scored: Scored. The objects.
        metric: str.
        facts: dict. What stands in front of every row.
    """
    chosen = tables.recipe.evaluation
    window = chosen.ranges[0]
    facts = {**facts, "window": None if window is None else str(window)}
    try:
        pairs = metrics.paired_differences(
            metric,
            {case[0]: tables.predictions(*case, scored) for case in cases},
            scored.z,
            weights=scored.weights,
            groups=scored.groups,
            window=window,
            draws=chosen.draws,
        )
    except InputError:
        return []  # nobody in the window, as the rows say
    return [
        {
            "a": a,
            "b": b,
            **facts,
            "value": one.value,
            "error": one.error,
            "resolved": one.resolved,
            "n": one.n,
        }
        for (a, b), one in pairs.items()
    ]

"""Metrics and paired differences of a comparison."""

import numpy as np

from kphotoz import metrics
from kphotoz.comparison.predictions import Scored
from kphotoz.comparison.tables import Case, Tables
from kphotoz.errors import InputError
from kphotoz.metrics import Window
from kphotoz.metrics.strata import in_window
from kphotoz.recipes.schema import Evaluation
from kphotoz.report.rows import Pair, Row

__all__ = ["differences", "estimates", "rows"]


def estimates(
    chosen: Evaluation, z_pred: np.ndarray, scored: Scored, window: Window | None
) -> list[Row]:
    """Returns one row a metric; where a window holds nobody, NaN and a note.

    Args:
        chosen: Evaluation of the recipe.
        z_pred: (seeds, n) predictions.
        scored: Scored. The n objects.
        window: Window or None.
    """
    measured = in_window(
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
        Row(
            scored.name,
            scored.truth,
            one.metric,
            one.value,
            one.error,
            one.n,
            window=window,
            excluded=one.excluded,
            flagged=one.flagged,
            note=one.note,
            seeds=len(z_pred),
            by=scored.by,
            stratum=scored.stratum,
        )
        for one in measured
    ]


def rows(
    tables: Tables, case: Case, scored: Scored, window: Window | None
) -> list[Row]:
    """Returns the rows of one regime, label fraction, sample and window."""
    z_pred = tables.predictions(case, scored)
    measured = estimates(tables.recipe.evaluation, z_pred, scored, window)
    return [of_case(tables, case, row) for row in measured]


def of_case(tables: Tables, case: Case, row: Row) -> Row:
    """Returns a row with the names of what it is of."""
    facts = vars(row) | {"regime": case.regime, "fraction": case.fraction}
    return Row(**facts | {"n_labels": tables.label_count(case)})


def differences(
    tables: Tables,
    cases: list[Case],
    scored: Scored,
    metric: str,
    fraction: float,
) -> list[Pair]:
    """Returns the paired difference of every pair of cases in the headline's window.

    Args:
        tables: Tables.
        cases: of different regimes.
        scored: Scored. The objects.
        metric: str.
        fraction: float. The largest of the cases.
    """
    chosen = tables.recipe.evaluation
    window = chosen.ranges[0]
    try:
        pairs = metrics.paired_differences(
            metric,
            {case.regime: tables.predictions(case, scored) for case in cases},
            scored.z,
            weights=scored.weights,
            groups=scored.groups,
            window=window,
            draws=chosen.draws,
        )
    except InputError:
        return []  # nobody in the window, as the rows say
    return [
        Pair(
            a,
            b,
            scored.name,
            scored.truth,
            metric,
            one.value,
            one.error,
            one.resolved,
            fraction=fraction,
            n=one.n,
            window=window,
            by=scored.by,
            stratum=scored.stratum,
        )
        for (a, b), one in pairs.items()
    ]

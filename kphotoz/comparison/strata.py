"""Parts of the test samples by magnitude, colour or any column of the predictions."""

import dataclasses
from collections.abc import Iterable, Iterator

from kphotoz.comparison.estimate import differences, estimates, of_case, rows
from kphotoz.comparison.predictions import Scored
from kphotoz.comparison.tables import Case, Tables
from kphotoz.metrics.point import badness
from kphotoz.metrics.strata import parts
from kphotoz.report.rows import Pair, Row

__all__ = ["missing_columns", "stratify"]

_SMALLEST = 20  # objects; house rule, as in kphotoz.metrics


def stratify(tables: Tables) -> tuple[list[Row], list[Pair]]:
    """Returns the rows of all strata, and the best network against the best forest.

    Every sample but "both" is cut, in the headline's window and at the largest label
    fraction. In each stratum the network that is best on the whole sample meets the
    forest that is.
    """
    chosen = tables.recipe.evaluation
    strata: list[Row] = []
    compared: list[Pair] = []
    top = max(tables.recipe.fractions)
    cases = [case for case in tables.cases if case.fraction in (None, top)]
    for scored in tables.samples if chosen.by else ():
        if scored.name == "both":
            continue
        rivals = _rivals(tables, cases, scored)
        for part in _parts(tables, scored):
            if len(part.z) < _SMALLEST:
                strata += _too_few(tables, cases, part)
                continue
            for case in cases:
                strata += map(_measured, rows(tables, case, part, chosen.ranges[0]))
            if len(rivals) == 2:
                pairs = differences(tables, rivals, part, chosen.headline, top)
                compared += [pair for pair in pairs if pair.n >= _SMALLEST]
    return strata, compared


def missing_columns(tables: Tables) -> list[str]:
    """Returns a sentence for each column of `evaluation.by` that nothing has."""
    return [
        f"No strata by {by}: the predictions have no such column, but "
        f"{', '.join(tables.first)}."
        for by in tables.recipe.evaluation.by
        if by not in tables.first
    ]


def _parts(tables: Tables, scored: Scored) -> Iterator[Scored]:
    """Yields the parts of a sample by each column that there is."""
    for by, edges in tables.recipe.evaluation.by.items():
        if by in tables.first:
            values = tables.first[by][scored.mask]
            values = values.astype(str) if values.dtype.kind == "O" else values
            for stratum, mask in parts(by, values, edges).items():
                yield scored.part(mask, by, stratum)


def _measured(row: Row) -> Row:
    """Returns a row without its number where a window leaves too few objects."""
    if row.n >= _SMALLEST:
        return row
    return dataclasses.replace(row, value=float("nan"), error=float("nan"))


def _rivals(tables: Tables, cases: Iterable[Case], scored: Scored) -> list[Case]:
    """Returns the best network and the best forest of a sample, those that exist."""
    forests = {r.name for r in tables.regimes if r.trainable.moves == "forest"}
    chosen = tables.recipe.evaluation
    alone = chosen.model_copy(update={"metrics": (chosen.headline,), "draws": 0})
    scores = {}
    for case in cases:
        z_pred = tables.predictions(case, scored)
        (row,) = estimates(alone, z_pred, scored, chosen.ranges[0])
        if row.is_scored:
            scores[case] = badness(chosen.headline, row.value)
    rivals = []
    for side in (False, True):
        mine = [case for case in scores if (case.regime in forests) is side]
        rivals += [min(mine, key=lambda case: scores[case])] if mine else []
    return rivals


def _too_few(tables: Tables, cases: Iterable[Case], part: Scored) -> list[Row]:
    """Returns NaN rows for a part of too few objects, so that it does not vanish."""
    chosen, nan = tables.recipe.evaluation, float("nan")
    empty = [
        Row(
            part.name,
            part.truth,
            metric,
            nan,
            nan,
            len(part.z),
            window=chosen.ranges[0],
            note=f"fewer than {_SMALLEST} objects",
            seeds=tables.recipe.seeds,
            by=part.by,
            stratum=part.stratum,
        )
        for metric in chosen.metrics
    ]
    return [of_case(tables, case, row) for case in cases for row in empty]

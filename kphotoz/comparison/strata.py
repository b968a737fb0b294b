"""Parts of the test samples by magnitude, colour or any column of the predictions."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from kphotoz.comparison.estimate import differences, estimates, rows
from kphotoz.comparison.predictions import Scored
from kphotoz.metrics.point import badness
from kphotoz.metrics.strata import parts

if TYPE_CHECKING:
    from kphotoz.comparison.aggregate import Tables

__all__ = ["missing_columns", "stratify"]

_SMALLEST = 20  # objects; house rule, as in kphotoz.metrics


def stratify(tables: "Tables") -> tuple[list[dict], list[dict]]:
    """Returns the rows of all strata, and the best network against the best forest.

    Every sample but "both" is cut, in the headline's window and at the largest label
    fraction. Rows have "by" (the column) and "stratum" (the part) in front. In each
    stratum the network that is best on the whole sample meets the forest that is.
    """
    chosen, found, compared = tables.recipe.evaluation, [], []
    top = max(tables.recipe.fractions)
    cases = [case for case in tables.cases if case[1] in (0.0, top)]
    columns = next(iter(tables.tables.values()))
    for scored in tables.samples if chosen.by else ():
        if scored.name == "both":
            continue
        rivals = _rivals(tables, cases, scored)
        for by, edges in chosen.by.items():
            if by not in columns:
                continue
            values = _plain(columns[by][scored.mask])
            for stratum, mask in parts(by, values, edges).items():
                facts = {"by": by, "stratum": stratum}
                part = _part(scored, mask)
                if np.count_nonzero(mask) < _SMALLEST:
                    found += _too_few(tables, cases, part, facts)
                    continue
                for case in cases:
                    lines = rows(tables, *case, part, chosen.ranges[0])
                    found += [{**facts, **_measured(line)} for line in lines]
                if len(rivals) == 2:
                    facts |= {"fraction": top, "sample": scored.name}
                    facts |= {"truth": scored.truth, "metric": chosen.headline}
                    found_between = differences(
                        tables, rivals, part, chosen.headline, facts
                    )
                    compared += [x for x in found_between if x["n"] >= _SMALLEST]
    return found, compared


def missing_columns(tables: "Tables") -> list[str]:
    """Returns a sentence for each column of `evaluation.by` that nothing has."""
    columns = next(iter(tables.tables.values()))
    return [
        f"No strata by {by}: the predictions have no such column, but "
        f"{', '.join(columns)}."
        for by in tables.recipe.evaluation.by
        if by not in columns
    ]


def _measured(row: dict) -> dict:
    """Returns a row without its number where a window leaves too few objects."""
    if row["n"] >= _SMALLEST:
        return row
    return {**row, "value": float("nan"), "error": float("nan")}


def _plain(values: np.ndarray) -> np.ndarray:
    return values.astype(str) if values.dtype.kind == "O" else values


def _part(scored: Scored, mask: np.ndarray) -> Scored:
    """Returns the objects of a sample for which the mask over them holds."""
    inside = scored.mask.copy()
    inside[inside] = mask
    rows = {"z": scored.z, "weights": scored.weights, "groups": scored.groups}
    rows = {key: None if v is None else v[mask] for key, v in rows.items()}
    return dataclasses.replace(scored, mask=inside, **rows)


def _rivals(tables: "Tables", cases, scored: Scored) -> list[tuple[str, float]]:
    """Returns the best network and the best forest of a sample, those that exist."""
    forests = {r.name for r in tables.regimes if r.trainable.moves == "forest"}
    window, headline = tables.recipe.evaluation.ranges[0], _headline(tables)
    scores = {}
    for case in cases:
        z_pred = tables.predictions(*case, scored)
        (row,) = estimates(headline, z_pred, scored, window, {})
        if np.isfinite(row["value"]):
            scores[case] = badness(headline.headline, row["value"])
    found = []
    for side in (False, True):
        mine = [case for case in scores if (case[0] in forests) is side]
        found += [min(mine, key=scores.get)] if mine else []
    return found


def _headline(tables: "Tables"):
    chosen = tables.recipe.evaluation
    changes = {"metrics": (chosen.headline,), "draws": 0}
    return chosen.model_copy(update=changes)


def _too_few(tables: "Tables", cases, part: Scored, facts: dict) -> list[dict]:
    """Returns NaN rows for a part of too few objects, so that it does not vanish."""
    note = f"fewer than {_SMALLEST} objects"
    chosen = tables.recipe.evaluation
    window = chosen.ranges[0]
    return [
        {
            **facts,
            "regime": regime,
            "fraction": fraction,
            "n_labels": tables.label_count(regime, fraction),
            "sample": part.name,
            "truth": part.truth,
            "window": None if window is None else str(window),
            "metric": metric,
            "value": float("nan"),
            "error": float("nan"),
            "n": int(part.mask.sum()),
            "excluded": {},
            "flagged": {},
            "note": note,
            "seeds": tables.recipe.seeds,
        }
        for regime, fraction in cases
        for metric in chosen.metrics
    ]

"""From predictions of all jobs to one table with errors, differences and an answer."""

import dataclasses
import itertools

import numpy as np

from kphotoz.comparison.estimate import differences, estimates, rows
from kphotoz.comparison.strata import stratify
from kphotoz.comparison.tables import Case, Tables
from kphotoz.metrics import Window
from kphotoz.report.rows import Cost, Pair, Row

__all__ = ["Collected", "collect"]


@dataclasses.dataclass(frozen=True)
class Collected:
    """What was measured: metrics, paired differences and costs.

    Args:
        windows: of redshift, the headline's first; None for all redshifts.
        rows: on whole samples; those in the headline's window come first.
        differences: of all pairs of regimes, in the headline's window.
        strata, strata_differences: the same on parts of the samples.
        floors: of labels that are no truth, taken as predictions of it.
        costs: of one model each.
    """

    windows: list[Window | None]
    rows: list[Row]
    differences: list[Pair]
    strata: list[Row]
    strata_differences: list[Pair]
    floors: list[Row]
    costs: list[Cost]

    def as_dict(self) -> dict[str, list]:
        """Returns plain values, as they stand in comparison.json."""
        plain: dict[str, list] = {
            name: [one.as_dict() for one in values]
            for name, values in vars(self).items()
            if name != "windows"
        }
        return plain | {
            "windows": [None if w is None else str(w) for w in self.windows]
        }


def collect(tables: Tables) -> Collected:
    """Returns the rows, differences, strata, label-error floors and costs."""
    windows = tables.recipe.evaluation.ranges
    strata, in_strata = stratify(tables)
    places = itertools.product(windows, tables.cases, tables.samples)
    return Collected(
        windows=list(windows),
        rows=[
            row
            for window, case, scored in places
            for row in rows(tables, case, scored, window)
        ],
        differences=_differences(tables),
        strata=strata,
        strata_differences=in_strata,
        floors=_floors(tables),
        costs=[_cost(tables, case) for case in tables.cases],
    )


def _differences(tables: Tables) -> list[Pair]:
    """Returns all pairs of regimes at each fraction, in the headline's window.

    In the headline metric and, for what adaptation does to it, in the bias.
    """
    chosen = tables.recipe.evaluation
    compared = [chosen.headline]
    compared += ["bias_median"] * ("bias_median" in chosen.metrics)
    return [
        pair
        for fraction in tables.recipe.fractions
        for scored in tables.samples
        for metric in dict.fromkeys(compared)
        for pair in differences(
            tables,
            [case for case in tables.cases if case.fraction in (None, fraction)],
            scored,
            metric,
            fraction,
        )
    ]


def _floors(tables: Tables) -> list[Row]:
    """Returns the metrics of labels that are no truth, taken as predictions of it."""
    chosen, floors = tables.recipe.evaluation, []
    for scored in tables.samples:
        labels = tables.first["z_label"][scored.mask]
        if scored.truth == "z_true" and not np.array_equal(labels, scored.z):
            floors += estimates(chosen, labels[None], scored, chosen.ranges[0])
    return floors


def _cost(tables: Tables, case: Case) -> Cost:
    costs = [
        tables.folder(case, seed).read_json("cost")
        for seed in range(tables.recipe.seeds)
    ]
    return Cost(
        regime=case.regime,
        fraction=case.fraction,
        trainable_parameters=costs[0]["trainable_parameters"],
        stored_bytes=costs[0]["stored_bytes"],
        examples_seen=costs[0]["examples_seen"],
        seconds=float(np.median([cost["seconds"] for cost in costs])),
        peak_memory_gib=max(cost["peak_memory_gib"] for cost in costs),
    )

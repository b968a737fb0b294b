"""From predictions of all jobs to one table with errors, differences and an answer."""

import pathlib

import numpy as np

from kphotoz.comparison.estimate import differences, estimates, rows
from kphotoz.comparison.plan import Job
from kphotoz.comparison.predictions import Scored, read_jobs, scored_samples
from kphotoz.comparison.strata import stratify
from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime
from kphotoz.training.run_folder import RunFolder

__all__ = ["Tables", "collect"]


class Tables:
    """Predictions of every regime and fraction on every scored sample.

    Args:
        out: path of the comparison.
        recipe: Recipe.
        regimes: list of Regime.
        weights: (n,) deployment weights, or None.
    """

    def __init__(
        self,
        out: pathlib.Path,
        recipe: Recipe,
        regimes: list[Regime],
        weights: np.ndarray | None = None,
    ) -> None:
        self.out, self.recipe, self.regimes = out, recipe, regimes
        self.cases = [
            (regime.name, fraction)
            for regime in regimes
            for fraction in (recipe.fractions if regime.learns_from_target else (0.0,))
        ]
        self.tables: dict[tuple, dict[str, np.ndarray]] = {}
        for name, fraction in self.cases:
            for seed in range(recipe.seeds):
                folds = range(recipe.folds)
                table = read_jobs(out, [Job(name, seed, fraction, k) for k in folds])
                first = next(iter(self.tables.values()), table)
                # One copy of what jobs have in common.
                same = [k for k in table if _equal(table[k], first.get(k))]
                table |= {key: first[key] for key in same}
                self.tables[name, fraction, seed] = table
        first = next(iter(self.tables.values()))
        where = recipe.deployment
        self.samples = scored_samples(first, where.sample, where.truth, weights)

    def predictions(self, regime: str, fraction: float, scored: Scored) -> np.ndarray:
        """Returns (seed, object) predictions of one case on one sample."""
        seeds = range(self.recipe.seeds)
        tables = [self.tables[regime, fraction, seed] for seed in seeds]
        return np.stack([table["z_pred"][scored.mask] for table in tables])

    def job(self, regime: str, fraction: float, seed: int) -> RunFolder:
        """Returns the folder of one job."""
        return RunFolder(self.out / "jobs" / Job(regime, seed, fraction).name)

    def label_count(self, regime: str, fraction: float) -> int:
        """Returns the target labels a case has learned from, validation included."""
        return self.job(regime, fraction, 0).read_json("metrics").get("n_labels")


def _equal(one: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def collect(tables: Tables) -> dict[str, list]:
    """Returns the rows, differences, strata, label-error floors and costs.

    Rows of the headline window, the recipe's first, stand before those of the others.
    """
    recipe = tables.recipe.evaluation
    strata, in_strata = stratify(tables)
    return {
        "windows": [None if w is None else str(w) for w in recipe.ranges],
        "rows": [
            row
            for window in recipe.ranges
            for case in tables.cases
            for scored in tables.samples
            for row in rows(tables, *case, scored, window)
        ],
        "differences": _differences(tables),
        "strata": strata,
        "strata_differences": in_strata,
        "floors": _floors(tables),
        "costs": [_cost(tables, *case) for case in tables.cases],
    }


def _differences(tables: Tables) -> list[dict]:
    """Returns all pairs of regimes at each fraction, in the headline's window.

    In the headline metric and, for what adaptation does to it, in the bias.
    """
    chosen = tables.recipe.evaluation
    compared = [chosen.headline]
    compared += ["bias_median"] * ("bias_median" in chosen.metrics)
    found = []
    for fraction in tables.recipe.fractions:
        cases = [case for case in tables.cases if case[1] in (0.0, fraction)]
        for scored in tables.samples:
            for metric in dict.fromkeys(compared):
                facts = {"fraction": fraction, "sample": scored.name}
                facts |= {"truth": scored.truth, "metric": metric}
                found += differences(tables, cases, scored, metric, facts)
    return found


def _floors(tables: Tables) -> list[dict]:
    """Returns the metrics of labels that are no truth, taken as predictions of it."""
    first = next(iter(tables.tables.values()))
    chosen, found = tables.recipe.evaluation, []
    for scored in tables.samples:
        labels = first["z_label"][scored.mask]
        if scored.truth != "z_true" or np.array_equal(labels, scored.z):
            continue
        facts = {"sample": scored.name, "truth": scored.truth}
        found += estimates(chosen, labels[None], scored, chosen.ranges[0], facts)
    return found


def _cost(tables: Tables, regime: str, fraction: float) -> dict:
    costs = [
        tables.job(regime, fraction, seed).read_json("cost")
        for seed in range(tables.recipe.seeds)
    ]
    return {
        "regime": regime,
        "fraction": fraction,
        "trainable_parameters": costs[0]["trainable_parameters"],
        "stored_bytes": costs[0]["stored_bytes"],
        "examples_seen": costs[0]["examples_seen"],
        "seconds": float(np.median([cost["seconds"] for cost in costs])),
        "peak_memory_gib": max(cost["peak_memory_gib"] for cost in costs),
    }

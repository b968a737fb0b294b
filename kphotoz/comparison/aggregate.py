"""From predictions of all jobs to one table with errors, differences and an answer."""

import pathlib

import numpy as np

from kphotoz import metrics
from kphotoz.comparison.plan import Job
from kphotoz.comparison.predictions import Scored, read_job, scored_samples
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
        self.tables = {
            (name, fraction, seed): read_job(out, Job(name, seed, fraction))
            for name, fraction in self.cases
            for seed in range(recipe.seeds)
        }
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
        return self.job(regime, fraction, 0).read_json("metrics")["n_labels"]


def collect(tables: Tables) -> dict[str, list[dict]]:
    """Returns the rows, differences and costs of a comparison."""
    return {
        "rows": [row for case in tables.cases for row in _rows(tables, *case)],
        "differences": _differences(tables),
        "costs": [_cost(tables, *case) for case in tables.cases],
    }


def _window(recipe: Recipe) -> metrics.Window | None:
    window = recipe.evaluation.window_z_true
    return None if window is None else metrics.Window(*window, on="z_true")


def _rows(tables: Tables, regime: str, fraction: float) -> list[dict]:
    chosen = tables.recipe.evaluation
    rows = []
    for scored in tables.samples:
        z_pred = tables.predictions(regime, fraction, scored)
        for metric in chosen.metrics:
            estimate = metrics.over_seeds(
                metric,
                z_pred,
                scored.z,
                weights=scored.weights,
                window=_window(tables.recipe),
                draws=chosen.draws,
            )
            rows.append(
                {
                    "regime": regime,
                    "fraction": fraction,
                    "n_labels": tables.label_count(regime, fraction),
                    "sample": scored.name,
                    "truth": scored.truth,
                    "metric": metric,
                    "value": estimate.value,
                    "error": estimate.error,
                    "n": estimate.n,
                    "excluded": estimate.excluded,
                    "seeds": len(z_pred),
                }
            )
    return rows


def _differences(tables: Tables) -> list[dict]:
    """Returns all pairs of regimes at each fraction, in the headline metric."""
    chosen = tables.recipe.evaluation
    found = []
    for fraction in tables.recipe.fractions:
        cases = [case for case in tables.cases if case[1] in (0.0, fraction)]
        for scored in tables.samples:
            pairs = metrics.paired_differences(
                chosen.headline,
                {case[0]: tables.predictions(*case, scored) for case in cases},
                scored.z,
                weights=scored.weights,
                window=_window(tables.recipe),
                draws=chosen.draws,
            )
            found += [
                {
                    "a": a,
                    "b": b,
                    "fraction": fraction,
                    "sample": scored.name,
                    "truth": scored.truth,
                    "metric": chosen.headline,
                    "value": difference.value,
                    "error": difference.error,
                    "resolved": difference.resolved,
                }
                for (a, b), difference in pairs.items()
            ]
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

"""What all regimes predicted, by regime, label fraction and seed."""

import dataclasses
import pathlib

import numpy as np

from kphotoz.comparison.plan import Job, fractions_of
from kphotoz.comparison.predictions import Scored, read_jobs, scored_samples
from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime
from kphotoz.training.run_folder import RunFolder

__all__ = ["Case", "Tables"]


@dataclasses.dataclass(frozen=True)
class Case:
    """A regime at one label fraction: None where it learns no target label."""

    regime: str
    fraction: float | None


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
            Case(regime.name, fraction)
            for regime in regimes
            for fraction in fractions_of(regime, recipe)
        ]
        self.tables: dict[tuple[Case, int], dict[str, np.ndarray]] = {}
        for case in self.cases:
            for seed in range(recipe.seeds):
                table = read_jobs(out, [self._job(case, seed, k) for k in self._folds])
                first = next(iter(self.tables.values()), table)
                # One copy of what jobs have in common.
                same = [k for k in table if _equal(table[k], first.get(k))]
                self.tables[case, seed] = table | {key: first[key] for key in same}
        where = recipe.deployment
        self.samples = scored_samples(self.first, where.sample, where.truth, weights)

    @property
    def first(self) -> dict[str, np.ndarray]:
        """The columns of one job: all have the same objects."""
        return next(iter(self.tables.values()))

    def predictions(self, case: Case, scored: Scored) -> np.ndarray:
        """Returns (seed, object) predictions of one case on one sample."""
        tables = [self.tables[case, seed] for seed in range(self.recipe.seeds)]
        return np.stack([table["z_pred"][scored.mask] for table in tables])

    def folder(self, case: Case, seed: int) -> RunFolder:
        """Returns the folder of one job, of the first fold."""
        return RunFolder(self.out / "jobs" / self._job(case, seed).name)

    def label_count(self, case: Case) -> int | None:
        """Returns the target labels a case has learned from, validation included."""
        return self.folder(case, 0).read_json("metrics").get("n_labels")

    @property
    def _folds(self) -> range:
        return range(self.recipe.folds)

    def _job(self, case: Case, seed: int, fold: int = 0) -> Job:
        return Job(case.regime, seed, case.fraction, fold)


def _equal(one: np.ndarray, other: np.ndarray | None) -> bool:
    if other is None or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")

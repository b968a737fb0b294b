"""A tuned forest on tabular features, the rival of every image model."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["GRID", "RandomForest"]

# Our choice: small, and wide enough that the best point is rarely on its edge.
GRID: dict[str, tuple] = {
    "kind": ("forest", "extra_trees"),
    "min_leaf": (1, 3),
    "max_features": (0.33, 1.0),
}


class RandomForest:
    """Forest of regression trees, tuned on a validation set.

    Kind of trees, leaf size, features per split and the way in which the trees are
    joined (mean or median) are those with the smallest score on the validation set.
    Equal seeds give equal predictions.

    Args:
        trees: int. Trees of the final forest. [default: 300]
        search_trees: int. Trees of the forests that are compared. [default: 100]
        grid: dict from `kind`, `min_leaf`, `max_features` to sequences.
            [default: `GRID`]
        seed: int. [default: 0]
        n_jobs: int. Processes; -1 for all cores. [default: 1]
    """

    def __init__(
        self,
        trees: int = 300,
        search_trees: int = 100,
        grid: dict[str, Sequence] | None = None,
        seed: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.trees, self.search_trees = trees, search_trees
        self.grid = GRID if grid is None else grid
        self.seed, self.n_jobs = seed, n_jobs
        self.best: dict[str, Any] = {}
        self.score = float("nan")
        self._model: Any = None

    def fit(
        self,
        features: np.ndarray,
        redshifts: np.ndarray,
        validation_features: np.ndarray,
        validation_redshifts: np.ndarray,
    ) -> "RandomForest":
        """Tunes on the validation set, then trains the final forest.

        Args:
            features: float array `(n, feature)`.
            redshifts: float array `(n,)`.
            validation_features: float array `(m, feature)`; only for choosing.
            validation_redshifts: float array `(m,)`.

        Returns:
            self, with the chosen settings in `best` and their score in `score`.
        """
        results: list[tuple] = []
        for values in itertools.product(*self.grid.values()):
            settings = dict(zip(self.grid, values, strict=True))
            model = self._make(self.search_trees, **settings)
            model.fit(features, redshifts)
            for join in ("mean", "median"):
                guess = self._join(model, validation_features, join)
                score = _score(guess, validation_redshifts)
                results.append((score, len(results), {**settings, "join": join}))
        self.score, _, self.best = min(results)
        settings = {key: self.best[key] for key in self.grid}
        self._model = self._make(self.trees, **settings).fit(features, redshifts)
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Returns redshifts `(n,)` for features `(n, feature)`.

        Raises:
            ValueError: before `fit`.
        """
        if self._model is None:
            raise ValueError("`fit` must come before `predict`.")
        return self._join(self._model, features, self.best["join"])

    def _make(self, trees: int, kind: str, min_leaf: int, max_features: float) -> Any:
        from sklearn import ensemble

        kinds = {
            "forest": ensemble.RandomForestRegressor,
            "extra_trees": ensemble.ExtraTreesRegressor,
        }
        return kinds[kind](
            n_estimators=trees,
            min_samples_leaf=min_leaf,
            max_features=max_features,
            random_state=self.seed,
            n_jobs=self.n_jobs,
        )

    @staticmethod
    def _join(model: Any, features: np.ndarray, join: str) -> np.ndarray:
        # In order: the model's own threads add as they finish, so that bits differ.
        features = np.asarray(features, "float32")
        guesses = (tree.predict(features) for tree in model.estimators_)
        if join == "mean":
            return sum(guesses) / len(model.estimators_)
        return np.median(list(guesses), axis=0)


def _score(guess: np.ndarray, truth: np.ndarray) -> float:
    """Returns NMAD + outlier rate / 2 of dz = (guess - truth) / (1 + truth).

    The outlier rate breaks the near ties of the noisy NMAD of a small validation set;
    the weight is our choice.
    """
    error = (guess - truth) / (1.0 + truth)
    nmad = 1.4826 * np.median(np.abs(error - np.median(error)))
    return float(nmad + 0.5 * np.mean(np.abs(error) > 0.15))

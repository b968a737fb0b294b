"""The forest learns, repeats itself and chooses on the validation set."""

import numpy as np
import pytest

from kphotoz.baselines import RandomForest

GRID = {
    "kind": ("forest", "extra_trees"),
    "min_leaf": (1, 30),
    "max_features": (1.0,),
}


def _sample(count, seed):
    features = np.random.default_rng(seed).uniform(-1, 1, (count, 4))
    return features, 1.0 + 0.5 * features[:, 0] + 0.3 * features[:, 1] ** 2


def _forest(seed):
    return RandomForest(trees=30, search_trees=10, grid=GRID, seed=seed)


def test_forest_beats_the_constant_by_far_and_prefers_small_leaves_without_noise():
    x, z = _sample(300, 0)
    forest = _forest(0).fit(x, z, *_sample(100, 1))
    new, truth = _sample(200, 2)
    error = np.abs(forest.predict(new) - truth).mean()
    assert error < 0.25 * np.abs(np.median(z) - truth).mean()
    assert forest.best["min_leaf"] == 1
    assert forest.best["join"] in ("mean", "median")


def test_equal_seeds_give_equal_predictions():
    x, z = _sample(120, 0)
    validation, new = _sample(50, 1), _sample(40, 2)[0]
    first, second, other = (
        _forest(seed).fit(x, z, *validation).predict(new) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_number_of_processes_changes_no_bit():
    """Threads add trees up as they finish: other orders differ in the last bits."""
    x, z = _sample(400, 0)
    grid = {key: values[:1] for key, values in GRID.items()}
    forest = RandomForest(trees=200, search_trees=2, grid=grid, n_jobs=4)
    forest.fit(x, z, *_sample(50, 1))
    forest.best["join"] = "mean"
    new = _sample(2000, 2)[0]
    trees = forest._model.estimators_
    wanted = sum(tree.predict(new.astype("float32")) for tree in trees) / len(trees)
    for _ in range(5):
        np.testing.assert_array_equal(forest.predict(new), wanted)


def test_predict_before_fit_is_refused():
    with pytest.raises(ValueError, match="fit"):
        RandomForest().predict(np.zeros((2, 3)))

import dataclasses

import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics import roc_auc_score

from kphotoz import shift
from kphotoz.errors import InputError

TESTS = {
    "classifier": shift.classifier_test,
    "mmd": shift.mmd_test,
    "frechet": shift.frechet_test,
}


def normal(seed, rows, features=3, centre=0.0):
    return np.random.default_rng(seed).normal(centre, 1.0, (rows, features))


def test_mmd_is_that_of_two_gaussians():
    # E k(x, y) of Gaussians at distance D with a kernel of width s has the closed form
    # (s^2 / (s^2 + 2))^(d / 2) exp(-D^2 / (2 (s^2 + 2))).
    width, distance, d = 1.5, 0.8, 3
    offset = np.array([distance, 0.0, 0.0])
    found = [
        shift.mmd(normal(seed, 300), normal(1000 + seed, 400) + offset, width)
        for seed in range(40)
    ]
    scale = width**2 + 2
    wanted = (
        2 * (width**2 / scale) ** (d / 2) * (1 - np.exp(-(distance**2) / 2 / scale))
    )
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - wanted) < 4 * error
    assert error < 0.05 * wanted


def test_mmd_is_the_plain_sum_over_pairs():
    source, target = normal(0, 12), normal(1, 10, centre=0.5)

    def mean(one, other, same):
        pairs = [
            np.exp(-np.sum((x - y) ** 2) / 2)
            for i, x in enumerate(one)
            for j, y in enumerate(other)
            if not (same and i == j)
        ]
        return np.mean(pairs)

    wanted = mean(source, source, True) + mean(target, target, True)
    wanted -= 2 * mean(source, target, False)
    assert shift.mmd(source, target, 1.0) == pytest.approx(wanted, abs=1e-12)


def test_frechet_distance_is_the_matrix_formula():
    source = normal(0, 200) @ np.array([[1, 0.4, 0], [0, 2, 0], [0, 0.3, 0.5]])
    target = normal(1, 150) + [0.3, 0, 1]
    both = np.concatenate([source, target])
    one, other = ((x - both.mean(0)) / both.std(0) for x in (source, target))
    covariances = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    wanted = np.sum((one.mean(0) - other.mean(0)) ** 2)
    wanted += np.trace(covariances[0] + covariances[1] - 2 * root)
    found = shift.frechet_test(source, target, permutations=19)
    assert found.statistic == pytest.approx(wanted, rel=1e-9)


def test_area_is_that_of_the_likelihood_ratio_for_two_gaussians():
    # The best classifier of two Gaussians at distance d has the AUC Phi(d / sqrt 2).
    offset = np.array([1.0, 0, 0])
    found = shift.classifier_test(
        normal(0, 4000), normal(1, 4000) + offset, permutations=19
    )
    assert found.statistic == pytest.approx(0.7602, abs=0.012)


def test_area_is_sklearns_of_the_same_scores():
    from kphotoz.shift import two_sample

    rows, labels = normal(0, 40), np.repeat([0.0, 1.0], 20)[:, None]
    held = np.arange(40) % 2 == 0
    known = rows[~held] - rows[~held].mean(axis=0)
    gram = known.T @ known + 1e-3 * 20 * np.eye(3)
    weights = np.linalg.solve(gram, known.T @ (labels[~held, 0] - 0.5))
    wanted = roc_auc_score(labels[held, 0], rows[held] @ weights)
    assert two_sample._areas(rows, labels, held)[0] == pytest.approx(wanted)


@pytest.mark.parametrize("name", TESTS)
def test_p_values_are_uniform_where_nothing_differs(name):
    # An exact test at 5 % over 400 pairs: between 2.5 and 8.0 % in 99.3 % of cases.
    p = [
        TESTS[name](normal(seed, 40), normal(5000 + seed, 30), permutations=19).p
        for seed in range(400)
    ]
    assert 0.025 < np.mean(np.array(p) <= 0.05) < 0.08
    assert np.mean(p) == pytest.approx(0.525, abs=0.06)  # of 1/20, 2/20, ..., 1


@pytest.mark.parametrize("name", TESTS)
def test_a_difference_is_found_and_the_seed_decides(name):
    pair = normal(0, 100), normal(1, 80, centre=1.0)
    found = TESTS[name](*pair, permutations=99, seed=3)
    assert found.p == 0.01
    assert found.statistic > found.null_95 > found.null
    assert found == TESTS[name](*pair, permutations=99, seed=3)


@pytest.mark.parametrize("name", TESTS)
def test_constant_features_differ_in_nothing(name):
    ones = np.full((30, 2), 0.1)
    found = TESTS[name](ones, ones[:20], permutations=19)
    assert found.p == 1.0
    assert all(np.isfinite(value) for value in dataclasses.astuple(found))


@pytest.mark.parametrize("name", TESTS)
def test_more_features_than_rows_and_copies_of_features_are_taken(name):
    rows = normal(0, 15, features=40)
    found = TESTS[name](np.hstack([rows, rows]), np.hstack([rows, rows]) + 3.0)
    assert found.p < 0.05


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (normal(0, 1), normal(1, 20), "10 rows or more of the source"),
        (normal(0, 20), normal(1, 9), "10 rows or more of the target"),
        (normal(0, 20)[:, 0], normal(1, 20), "shape (20,)"),
        (normal(0, 20), normal(1, 20, features=4), "3 and 4"),
        (normal(0, 20), np.where(np.eye(20, 3), np.nan, 0.0), "first row 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(name, source, target, words):
    with pytest.raises(InputError) as refused:
        TESTS[name](source, target)
    assert words in str(refused.value)

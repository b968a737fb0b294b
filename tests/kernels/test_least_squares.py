"""Streamed least squares against numpy's pseudo-inverse and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from kphotoz.kernels import LeastSquares


def fed(x, y, weights=None, block=7):
    squares = LeastSquares(x.shape[1], y.shape[1])
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        squares.add(x[part], y[part], None if weights is None else weights[part])
    return squares.solver()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 12),
    rank=st.integers(1, 12),
    outputs=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_without_ridge_it_is_the_pseudo_inverse(rows, width, rank, outputs, seed):
    rng = np.random.default_rng(seed)
    rank = min(rank, width)
    x = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, width))
    y = rng.normal(size=(rows, outputs))
    expected = np.linalg.pinv(x, rcond=1e-11) @ y
    size = 1 + np.abs(expected).max()
    np.testing.assert_allclose(fed(x, y).solve(), expected, atol=1e-8 * size)


@pytest.mark.parametrize("ridge", [1e-6, 0.3, 40.0])
def test_a_ridge_is_that_of_scikit_learn(ridge):
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(90, 8)), rng.normal(size=(90, 2)), rng.uniform(size=90)
    ours = fed(x, y, w).solve(ridge)
    theirs = Ridge(ridge, fit_intercept=False).fit(x, y, w).coef_.T
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_a_strong_ridge_gives_zero():
    rng = np.random.default_rng(0)
    found = fed(rng.normal(size=(20, 3)), rng.normal(size=(20, 1))).solve(1e12)
    assert np.abs(found).max() < 1e-9


def test_rows_left_out_one_at_a_time_are_those_of_fits_without_them():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(15, 4)), rng.normal(size=(15, 2)), rng.uniform(size=15)
    ridges = np.array([1e-3, 0.5, 20.0])
    expected = []
    for ridge in ridges:
        total = 0.0
        for i in range(15):
            kept = np.arange(15) != i
            model = Ridge(ridge, fit_intercept=False).fit(x[kept], y[kept], w[kept])
            total += w[i] * np.square(y[i] - model.predict(x[i : i + 1])[0]).sum()
        expected.append(total / w.sum())
    found = fed(x, y, w).left_out(
        [(x[:6], y[:6], w[:6]), (x[6:], y[6:], w[6:])], ridges
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_row_that_fits_itself_alone_is_never_preferred():
    x, y = np.eye(3), np.ones((3, 1))
    found = fed(x, y).left_out([(x, y, np.ones(3))], np.array([0.0, 1.0]))
    assert found[0] == np.inf and found[1] == pytest.approx(1.0)


def test_dependent_features_keep_their_rank():
    x = np.random.default_rng(0).normal(size=(50, 3))
    solver = fed(np.hstack([x, x @ np.ones((3, 2)), np.zeros((50, 1))]), x[:, :1])
    assert solver.rank == 3

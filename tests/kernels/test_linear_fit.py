"""Fits of rows that are read in several passes, against scikit-learn and numpy."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from kphotoz.errors import InputError
from kphotoz.kernels import linear_fit
from kphotoz.kernels.linear_fit import Remembered, fit_rows


def made(rows, width=6, block=50):
    """Returns a function that makes the blocks of one and the same sample."""
    return lambda: (
        np.random.default_rng(start).normal(size=(min(block, rows - start), width))
        for start in range(0, rows, block)
    )


def targets_of(make):
    x = np.concatenate([*make()])
    return x, np.sin(x).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("kept", [0, 2**28])
def test_rows_made_anew_for_every_pass_give_ridge_regression(monkeypatch, kept):
    monkeypatch.setattr(linear_fit, "KEPT_BYTES", kept)
    make = made(230)
    x, y = targets_of(make)
    found = fit_rows(Remembered(make), y, np.ones(230), 0.7, None, np.zeros((6, 1)))
    theirs = Ridge(0.7, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(found.coefficients, theirs.coef_.T.reshape(6, 1))
    # Noise: squared errors over the degrees of freedom, the trace of the hat matrix.
    hat = x @ np.linalg.solve(x.T @ x + 0.7 * np.eye(6), x.T)
    errors = y - hat @ y
    expected = np.square(errors).sum() / (230 - np.trace(hat))
    np.testing.assert_allclose(found.noise, expected)


def test_rows_are_kept_only_while_they_are_few(monkeypatch):
    calls = []

    def make():
        calls.append(1)
        yield from made(200)()

    few = Remembered(make)
    assert len([*few]) == len([*few]) == 4 and len(calls) == 1
    monkeypatch.setattr(linear_fit, "KEPT_BYTES", 1000)
    many = Remembered(make)
    assert len([*many]) == len([*many]) == 4 and len(calls) == 3


def test_memory_does_not_grow_with_rows(monkeypatch):
    monkeypatch.setattr(linear_fit, "KEPT_BYTES", 0)
    peaks = []
    for rows in (4_000, 40_000):
        make = made(rows, width=40, block=200)
        y = np.ones((rows, 1))
        tracemalloc.start()
        rest = (np.ones(rows), "left_out", None, np.zeros((40, 1)))
        fit_rows(Remembered(make), y, *rest)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The rows added are 11.5 MB; targets and weights grow by 0.6 MB.
    assert peaks[1] < peaks[0] + 2e6, peaks


def test_the_ridge_is_searched_once_before_any_reweighting():
    make = made(120)
    _, y = targets_of(make)
    rest = (np.ones(120), "left_out")
    start = np.zeros((6, 1))
    plain = fit_rows(Remembered(make), y, *rest, None, start)
    again = fit_rows(Remembered(make), y, *rest, lambda t, p: np.full(len(t), 9), start)
    assert again.ridge == plain.ridge > 0


@pytest.mark.parametrize("weights", [np.ones(3), np.full(120, -1.0), np.full(120, 0)])
def test_weights_that_reweighting_returns_are_checked(weights):
    make = made(120)
    _, y = targets_of(make)
    with pytest.raises(InputError, match="weight"):
        fit_rows(
            Remembered(make), y, np.ones(120), 0.0, lambda t, p: weights, np.zeros(6)
        )


@pytest.mark.parametrize("count, told", [(119, "120"), (121, "120")])
def test_targets_and_rows_that_differ_in_number_are_refused(count, told):
    rows, y = Remembered(made(120)), np.ones((count, 1))
    with pytest.raises(InputError, match=f"as rows, {told}. Received: .{count}, 1"):
        fit_rows(rows, y, np.ones(count), 0.0, None, np.zeros((6, 1)))

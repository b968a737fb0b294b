"""NaN, negative and out-of-grid redshifts are counted and named, never lost."""

import numpy as np
import pytest

from kphotoz import metrics

Z = np.linspace(0.1, 1.9, 40)


def summary(pred, z, **options):
    return metrics.summary(pred, z, names=["mae"], draws=0, **options)[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_predictions_and_labels_are_left_out_by_name(bad):
    pred, z = Z + 0.1, Z.copy()
    pred[:3], z[10:12] = bad, bad
    found = summary(pred, z)
    assert found.n == 35
    assert found.excluded == {"label non_finite": 2, "prediction non_finite": 3}
    assert found.value == pytest.approx(0.1, abs=1e-12)


def test_negative_labels_are_left_out_and_negative_predictions_scored():
    pred, z = Z + 0.1, Z.copy()
    pred[:2], z[5] = z[:2] - 0.5, -0.01
    found = summary(pred, z)
    assert found.excluded == {"label negative": 1}
    assert found.flagged == {"prediction negative": 2}
    assert found.n == 39
    assert found.value == pytest.approx((37 * 0.1 + 2 * 0.5) / 39, abs=1e-12)


@pytest.mark.parametrize("high", [None, 100.0, 4.0])
def test_labels_that_no_galaxy_has_are_left_out_and_counted(high):
    window = high and metrics.Window(0.0, high, "z_true")
    pred, z = Z + 0.1, Z.copy()
    pred[2] = 9.0  # a bad answer is no sentinel
    clean = summary(np.delete(pred, [4, 5]), np.delete(z, [4, 5]))
    z[4:6] = 99.0, 9999.0
    found = summary(pred, z, window=window)
    assert found.excluded == {"label above 30": 2}
    assert found.value == pytest.approx(clean.value, abs=1e-12)


def test_out_of_grid_values_are_scored_and_counted():
    pred = Z + 0.1
    found = summary(pred, Z, grid=(0.3, 1.5))
    outside = np.count_nonzero((pred < 0.3) | (pred > 1.5))
    odd = np.count_nonzero((Z < 0.3) | (Z > 1.5))
    assert found.flagged == {
        "prediction out_of_grid": outside, "label out_of_grid": odd
    }  # fmt: skip
    assert found.n == 40 and found.value == summary(pred, Z).value


def test_the_edges_of_the_grid_are_inside():
    z = np.full(30, 0.5)
    pred = np.where(np.arange(30) % 2, 0.0, 4.0)
    assert summary(pred, z, grid=(0.0, 4.0)).flagged == {}


def test_an_object_outside_in_any_seed_counts_once():
    preds = np.stack([Z, Z, Z])
    preds[0, :2], preds[1, 1:3] = 9.0, 9.0
    assert summary(preds, Z, grid=(0, 2)).flagged == {"prediction out_of_grid": 3}


def test_in_a_window_only_its_own_members_are_counted():
    pred = Z + 0.1
    window = metrics.Window(0.1, 1.0, "z_true")
    found = summary(pred, Z, window=window, grid=(0.0, 1.05))
    inside = (Z > 0.1) & (Z <= 1.0)
    assert found.flagged == {
        "prediction out_of_grid": np.count_nonzero(pred[inside] > 1.05)
    }


def test_parts_of_a_table_carry_their_counts():
    from kphotoz.metrics.strata import stratified

    pred = Z + 0.1
    pred[0], pred[-1] = np.nan, 7.0
    cuts = {"low": Z < 1.0, "high": Z >= 1.0}
    rows = stratified(pred, Z, names=["mae"], strata=cuts, grid=(0, 3), draws=0)
    told = {row["stratum"]: (row["excluded"], row["flagged"]) for row in rows}
    assert told["low"] == ({"prediction non_finite": 1}, {})
    assert told["high"] == ({}, {"prediction out_of_grid": 1})

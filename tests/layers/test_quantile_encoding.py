"""QuantileEncoding against values by hand and numpy's interpolation."""

import keras
import numpy as np
import pytest

from kphotoz.layers import QuantileEncoding


def test_values_by_hand():
    layer = QuantileEncoding([[0.0, 1.0, 3.0], [-1.0, 0.0, 1.0]])
    got = keras.ops.convert_to_numpy(layer(np.array([[2.0, -5.0], [9.0, 0.5]])))
    np.testing.assert_allclose(got, [[1, 0, -1, -1], [1, 1, 1, 0]], atol=1e-6)


def test_sum_over_bins_is_the_interpolated_rank():
    table = np.random.default_rng(0).normal(size=(400, 3)) ** 3
    layer = QuantileEncoding.from_table(table, bins=5)
    new = np.random.default_rng(1).normal(size=(50, 3))
    got = keras.ops.convert_to_numpy(layer(new)).reshape(50, 3, 5)
    rank = ((got + 1) / 2).sum(axis=2)
    for column in range(3):
        edges = np.quantile(table[:, column], np.linspace(0, 1, 6))
        want = np.interp(new[:, column], edges, np.arange(6))
        np.testing.assert_allclose(rank[:, column], want, atol=1e-4)


def test_a_constant_column_stays_finite_and_bad_edges_are_refused():
    layer = QuantileEncoding.from_table(np.full((9, 2), 3.0), bins=4)
    assert np.isfinite(keras.ops.convert_to_numpy(layer(np.full((2, 2), 3.0)))).all()
    with pytest.raises(ValueError, match="edges"):
        QuantileEncoding([[1.0, 0.0]])
    assert QuantileEncoding.from_config(layer.get_config()).edges == layer.edges

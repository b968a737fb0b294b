"""Starts from data: directions are numpy's singular vectors of explicit rows."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters.eva import Directions, share_ranks
from kphotoz.errors import InputError

RNG = np.random.default_rng(4)


def conv_and_dense():
    image = keras.Input((5, 4, 3))
    x = keras.layers.Conv2D(8, 3, padding="valid", strides=(2, 1), name="conv")(image)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Dense(6, name="head")(x))


def windows(images):
    """Returns (row, 27): what each place of the convolution sees."""
    rows = [
        images[:, y : y + 3, x : x + 3].reshape(len(images), -1)
        for y in (0, 2)
        for x in (0, 1)
    ]
    return np.concatenate(rows)


def spans_equal(a, b):
    """Returns whether the columns of two matrices span the same space."""
    a, b = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    return np.allclose(np.linalg.svd(a.T @ b)[1], 1, atol=1e-4)


def test_factors_start_as_the_singular_vectors_of_the_inputs():
    base = conv_and_dense()
    images = RNG.normal(size=(40, 5, 4, 3)).astype("float32")
    images[..., 1] *= 5
    model = adapters.apply(base, 2, start="eva", data=images, rank_patterns={"head": 2})
    assert np.array_equal(
        model.predict(images, verbose=0), base.predict(images, verbose=0)
    )
    factors = {
        path: keras.ops.convert_to_numpy(model.get_layer(path).lora_a)
        for path in ("conv", "head")
    }
    flat = keras.ops.convert_to_numpy(base.layers[2](base.layers[1](images)))
    for path, rows in (("conv", windows(images)), ("head", flat)):
        a = factors[path].reshape(-1, factors[path].shape[-1])
        _, _, v = np.linalg.svd(rows.astype("float64"), full_matrices=False)
        assert spans_equal(a, v[: a.shape[1]].T)
        np.testing.assert_allclose(a.T @ a, np.eye(a.shape[1]), atol=1e-5)
    ranks = [row["rank"] for row in adapters.report(model) if row["rank"]]
    assert sum(ranks) == 4


def test_attention_learns_its_directions_from_the_contracted_axes():
    tokens = keras.Input((6, 5))
    attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
    base = keras.Model(tokens, attention(tokens, tokens))
    x = RNG.normal(size=(30, 6, 5)).astype("float32")
    model = adapters.apply(base, 2, targets="query", start="eva", data=x)
    (factors,) = model.factors
    _, _, v = np.linalg.svd(x.reshape(-1, 5).astype("float64"), full_matrices=False)
    assert spans_equal(keras.ops.convert_to_numpy(factors.lora_a), v[:2].T)


def test_ranks_move_to_the_layer_that_needs_more():
    one = Directions(np.eye(8), np.array([0.99, 0.004, 0.003, 0.003, 0, 0, 0, 0]))
    many = Directions(np.eye(8), np.full(8, 0.125))
    ranks = share_ranks(
        {"one": one, "many": many}, {"one": 4, "many": 4}, {"one": 8, "many": 8}
    )
    # 8 in all: both keep 1, the six others go where 12 % is explained.
    assert ranks == {"one": 1, "many": 7}
    capped = share_ranks(
        {"one": one, "many": many}, {"one": 4, "many": 4}, {"one": 8, "many": 5}
    )
    assert capped == {"one": 3, "many": 5}


def test_data_and_start_belong_together():
    base = conv_and_dense()
    with pytest.raises(InputError, match="data together with"):
        adapters.apply(base, 2, start="eva")
    with pytest.raises(InputError, match="data together with"):
        adapters.apply(base, 2, data=np.zeros((2, 5, 4, 3), "float32"))
    bad = np.full((20, 5, 4, 3), np.nan, "float32")
    with pytest.raises(InputError, match="finite inputs"):
        adapters.apply(base, 2, start="eva", data=bad)
    with pytest.raises(InputError, match="larger batch"):
        adapters.apply(
            base, 3, targets="head", start="eva", data=np.ones((2, 5, 4, 3), "float32")
        )

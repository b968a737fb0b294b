"""Statistics and gamma, beta move or stay as the table in the docstring says."""

import keras
import numpy as np
import pytest

from kphotoz.layers import BatchNormalization

MOVES = {
    "freeze": (False, False),
    "adapt_statistics": (True, False),
    "train": (True, True),
}


def _state(layer):
    return {v.name: keras.ops.convert_to_numpy(v).copy() for v in layer.weights}


def _model(policy):
    norm = BatchNormalization(policy=policy, name="norm")
    return keras.Sequential([keras.Input((5,)), norm, keras.layers.Dense(5)])


def _fit(model, offset=3.0):
    rng = np.random.default_rng(0)
    x = rng.normal(offset, 1.0, (16, 5)).astype("float32")
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(x, rng.normal(size=(16, 5)), batch_size=8, verbose=0)


def _toggle(model, path):
    model.trainable = False
    model.trainable = True
    return model


def _clone(model, path):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def _reload(model, path):
    model.save(path / "m.keras")
    return keras.models.load_model(path / "m.keras")


@pytest.mark.parametrize("change", [None, _toggle, _clone, _reload])
@pytest.mark.parametrize("policy", MOVES)
def test_policy_does_what_it_says_after(policy, change, tmp_path):
    model = _model(policy)
    if change:
        model = change(model, tmp_path)
    layer = model.get_layer("norm")
    before = _state(layer)
    _fit(model)
    moved = {
        name for name, value in _state(layer).items() if (value != before[name]).any()
    }
    statistics, affine = MOVES[policy]
    expected = {"moving_mean", "moving_variance"} if statistics else set()
    assert moved == expected | ({"gamma", "beta"} if affine else set())


@pytest.mark.parametrize("policy", MOVES)
def test_what_normalises_in_training(policy):
    layer = BatchNormalization(policy=policy, epsilon=0.0)
    x = np.random.default_rng(0).normal(4, 2, (64, 5)).astype("float32")
    layer.build(x.shape)
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    own = (x - x.mean(axis=0)) / x.std(axis=0)
    expected = x if policy == "freeze" else own
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_untrainable_stops_everything():
    model = _model("train")
    model.trainable = False
    before = _state(model.get_layer("norm"))
    _fit(model)
    after = _state(model.get_layer("norm"))
    assert all((after[name] == before[name]).all() for name in before)


def test_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="adapt_statistics.*'frozen'"):
        BatchNormalization(policy="frozen")

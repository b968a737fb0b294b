"""Resumed training equals uninterrupted training; the oracle is the latter."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop
from kphotoz.training.settings import Training

SETTINGS = Training(epochs=4, batch_size=8, learning_rate=1e-2, minimum_steps=0)
OPTIONS = {
    "zero": {"dropout": 0.2},
    "pissa": {"start": "pissa", "dora": True, "rank_stabilized": True},
    "factored": {"formulation": "factored", "dora": True},
}


class Killed(Exception):
    pass


def _base():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.AveragePooling2D(4)(inputs)
    x = keras.layers.Reshape((16, 3))(x)
    zeros = {"kernel_initializer": "zeros"}
    x = keras.layers.Conv1D(6, 3, name="conv", **zeros)(x)
    x = keras.layers.EinsumDense("abc,cd->abd", (14, 5), name="einsum", **zeros)(x)
    x = keras.layers.Flatten()(keras.ops.tanh(x))
    model = keras.Model(inputs, keras.layers.Dense(1, name="head", **zeros)(x))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0.0, 0.2, weight.shape))
    return model


@pytest.fixture(scope="module")
def samples(make_sample):
    return make_sample(24, 1), make_sample(8, 2)


def _values(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.weights]


@pytest.mark.parametrize("name", OPTIONS)
def test_save_load_resume_equals_uninterrupted_training_bit_for_bit(
    samples, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)

    def fit(**more):
        model = adapters.apply(
            _base(), 2, train_also="head", targets="conv|einsum", **OPTIONS[name]
        )
        given = {"task": RedshiftTask((0.0, 2.0)), "settings": SETTINGS, "seed": 5}
        return model, loop.train(model, *samples, **given, **more)

    def kill(line):
        if line.startswith("epoch 3/"):
            raise Killed

    whole, expected = fit()
    with pytest.raises(Killed):
        fit(checkpoints=tmp_path, log=kill)
    seen = []
    resumed, outcome = fit(checkpoints=tmp_path, log=seen.append)
    assert seen[0].startswith("epoch 3/")
    assert outcome.history == expected.history
    for one, two in zip(_values(whole), _values(resumed), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", OPTIONS)
def test_all_factors_have_a_gradient_after_a_reload(name, tmp_path, compile_options):
    base = _base()
    model = adapters.apply(base, 2, **OPTIONS[name])
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 16, 16, 3)).astype("float32")
    y = rng.normal(size=(4, 1)).astype("float32")

    def step(model):
        before = _values(model)
        model.compile(keras.optimizers.SGD(0.1), **compile_options)
        model.train_on_batch(x, y)
        after = _values(model)
        pairs = zip(model.weights, before, after, strict=True)
        return {v.path for v, a, b in pairs if (a != b).any()}

    step(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False)
    for one, two in zip(_values(model), _values(loaded), strict=True):
        np.testing.assert_array_equal(one, two)
    assert step(loaded) == {v.path for v in loaded.trainable_weights}
    model.save_weights(tmp_path / "m.weights.h5")
    fresh = adapters.apply(base, 2, **OPTIONS[name])
    fresh.load_weights(tmp_path / "m.weights.h5")
    assert step(fresh) == {v.path for v in fresh.trainable_weights}

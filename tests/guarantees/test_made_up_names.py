"""Layers whose names Keras made up: the one asked for, in every copy."""

import keras
import numpy as np
import pytest
from foreign import (
    Unnamed,
    X,
    blocks,
    explicit,
    large,
    outputs,
    register,
    step,
    unnamed,
)
from keras import layers, ops

from kphotoz import adapters
from kphotoz.adapters import paths


def _sequence():
    x = keras.Input((6, 8))
    y = layers.TimeDistributed(layers.Dense(7))(x)
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
    return keras.Model(x, layers.Dense(3)(layers.Dense(5)(y)))


KINDS = {"subclassed": unnamed, "blocks": blocks, "wrappers": _sequence}


def _others(before):
    # Names that a copy would get, were it left to Keras.
    if before == "clear_session":
        keras.utils.clear_session()
    else:
        layers.Dense(3), layers.Dense(3)


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ("subclassed", "clear_session"),
        ("blocks", "more layers"),
        pytest.param("subclassed", "more layers", marks=large),
        pytest.param("blocks", "clear_session", marks=large),
        pytest.param("wrappers", "clear_session", marks=large),
        pytest.param("wrappers", "more layers", marks=large),
    ],
)
def test_layer_asked_for_by_its_name_is_adapted_merged_and_loaded(
    kind, before, tmp_path
):
    base = KINDS[kind]()
    _others(before)
    for path in [choice.path for choice in adapters.plan(base, 1)][::2]:
        model = step(adapters.apply(base, 1, targets=f"^{path}$"), steps=2)
        assert [r["path"] for r in adapters.report(model) if r["rank"]] == [path]
        wanted = explicit(base, model)
        adapters.save(model, tmp_path / "a.safetensors")
        merged = adapters.merge(model)
        loaded = adapters.load(base, tmp_path / "a.safetensors")
        for other in (model, merged, loaded):
            np.testing.assert_allclose(outputs(other), wanted, atol=1e-5)
        names = [layer.name for layer in paths.walk(base).values()]
        assert [layer.name for layer in paths.walk(merged).values()] == names


def test_all_layers_are_adapted_and_survive_a_file_of_keras(tmp_path):
    keras.utils.clear_session()
    base = unnamed()
    keras.utils.clear_session()
    model = step(adapters.apply(base, 2))
    wanted = explicit(base, model)
    model.save(tmp_path / "m.keras")
    layers.Dense(2)
    again = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(outputs(again), wanted, atol=1e-5)
    np.testing.assert_allclose(outputs(adapters.merge(again)), wanted, atol=1e-5)
    assert [r["path"] for r in adapters.report(again)] == [
        r["path"] for r in adapters.report(model)
    ]


def _twin(weights, shift):
    """A model with the same weights whose names say other layers."""
    keras.utils.clear_session()
    for _ in range(shift):
        layers.Dense(3)
    model = Unnamed()
    model(X)
    model.set_weights(weights)
    return model


@pytest.mark.parametrize(
    "shift", [2, *(pytest.param(x, marks=large) for x in (0, 1, 7))]
)
def test_file_finds_its_layers_in_a_twin_whose_names_are_those_of_others(
    shift, tmp_path
):
    keras.utils.clear_session()
    layers.Dense(3)
    base = unnamed()
    model = step(adapters.apply(base, 1, targets="block", train_also="^dense|batch"))
    adapters.save(model, tmp_path / "a.safetensors")
    wanted = outputs(model)
    other = adapters.load(_twin(base.get_weights(), shift), tmp_path / "a.safetensors")
    np.testing.assert_allclose(outputs(other), wanted, atol=1e-6)


def test_equal_kernels_under_made_up_names_are_told_apart_by_position(tmp_path):
    def alike():
        model = keras.Sequential([keras.Input((8,)), *map(layers.Dense, (8, 8, 8))])
        for layer in model.layers:
            layer.kernel.assign(np.eye(8))
        return model

    x = X[:, 0]
    keras.utils.clear_session()
    base = alike()
    model = step(adapters.apply(base, 1, targets="^dense_1$"), x)
    adapters.save(model, tmp_path / "a.safetensors")
    keras.utils.clear_session()
    layers.Dense(2)
    twin = alike()
    assert [layer.name for layer in twin.layers] == ["dense_1", "dense_2", "dense_3"]
    loaded = adapters.load(twin, tmp_path / "a.safetensors")
    assert [r["rank"] for r in adapters.report(loaded)] == [0, 1, 0]
    np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), atol=1e-6)


def test_copy_of_a_copy_keeps_the_names_of_the_first():
    base = unnamed()
    names = [layer.name for layer in paths.walk(base).values()]
    twice = adapters.merge(adapters.apply(adapters.merge(adapters.apply(base, 1)), 1))
    assert [layer.name for layer in paths.walk(twice).values()] == names


def test_keras_lora_goes_to_the_layer_that_had_it():
    keras.utils.clear_session()
    theirs = unnamed()
    keras.utils.clear_session()
    paths.walk(theirs)["block_1/dense_3"].enable_lora(2)
    layer = paths.walk(theirs)["block_1/dense_3"]
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    ours = adapters.from_keras_lora(theirs)
    np.testing.assert_allclose(outputs(ours), outputs(theirs), atol=1e-5)


@large
def test_bank_of_unnamed_layers_predicts_what_each_adapter_does(tmp_path):
    base = unnamed()
    files = {}
    wanted = {}
    for seed, name in enumerate(("one", "two")):
        model = step(adapters.apply(base, 1, seed=seed))
        files[name] = tmp_path / f"{name}.safetensors"
        adapters.save(model, files[name])
        wanted[name] = explicit(base, model)
    bank = adapters.AdapterBank(base, files)
    rows = ["two", "one", "", "two"]
    found = bank.predict(X, rows)
    each = wanted | {"": outputs(base)}
    oracle = np.stack([each[name][row] for row, name in enumerate(rows)])
    np.testing.assert_allclose(found, oracle, atol=1e-5)


@register
class Tied(keras.Layer):
    """Two layers with one kernel."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(8, name="first")
        self.second = layers.Dense(8, name="second")

    def build(self, shape):
        self.first.build(shape)
        self.second.build(shape)
        tracker = self.second._tracker  # Keras has no public way to tie kernels
        tracker.unlock()
        self.second._untrack_variable(self.second._kernel)
        self.second._kernel = self.first._kernel
        tracker.lock()

    def call(self, x):
        return self.second(ops.tanh(self.first(x)))


def test_kernel_of_two_layers_gets_one_update():
    x = keras.Input((6, 8))
    base = keras.Model(x, layers.Dense(5, name="last")(Tied(name="tied")(x)))
    skipped = {choice.path: choice.skipped for choice in adapters.plan(base, 2)}
    assert "kernel is that of tied/first" in skipped["tied/second"]
    model = step(adapters.apply(base, 2))
    wanted = explicit(base, model)
    np.testing.assert_allclose(outputs(model), wanted, atol=1e-5)
    np.testing.assert_allclose(outputs(adapters.merge(model)), wanted, atol=1e-5)

"""Frozen weights: whatever `trainable` is set to, and whatever a layer writes."""

import keras
import numpy as np
import pytest
from foreign import Unnamed, X, attention, blocks, graph, outputs, register, step
from foreign import unnamed as _unnamed
from keras import layers, ops

from kphotoz import adapters
from kphotoz.errors import InputError


def _sequential():
    stack = [layers.Dense(16), layers.BatchNormalization(), layers.Dense(7)]
    return keras.Sequential([keras.Input((6, 8)), *stack, layers.Dense(1)])


def _normalised():
    x = keras.Input((6, 8))
    y = layers.LayerNormalization(name="scaled")(layers.Dense(16)(x))
    y = layers.BatchNormalization(name="norm")(y)
    inner = keras.Sequential([keras.Input((6, 16)), layers.Dense(7), layers.Dense(1)])
    return keras.Model(x, inner(y))


KINDS = {
    "functional": _normalised,
    "sequential": _sequential,
    "attention": attention,
    "blocks": blocks,
    "subclassed": _unnamed,
}


def _trainable(model):
    return {id(v) for v in model.trainable_variables}


def _toggle_and_compare(model):
    """Sets `trainable` of the model and of each layer, and asserts what trains."""
    before = _trainable(model)
    for one in (model, *model._flatten_layers(include_self=False)):
        one.trainable = False
        one.trainable = True
        assert _trainable(model) == before, one.name
    for layer in model.layers:
        layer.trainable = False
    for layer in model.layers:
        layer.trainable = True
    assert _trainable(model) == before
    model.trainable = False
    assert not model.trainable_variables
    model.trainable = True
    assert _trainable(model) == before


def _file(base, model, folder):
    adapters.save(model, folder / "a.safetensors")
    return adapters.load(base, folder / "a.safetensors")


def _keras(base, model, folder):
    model.save(folder / "m.keras")
    return keras.models.load_model(folder / "m.keras", compile=False)


ORIGINS = {
    "applied": lambda base, model, folder: model,
    "from a file": _file,
    "reloaded": _keras,
    "cloned": lambda base, model, folder: keras.models.clone_model(model),
    "clone of a clone": lambda base, model, folder: keras.models.clone_model(
        keras.models.clone_model(model)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("origin", ORIGINS)
def test_no_toggle_changes_what_trains(kind, origin, tmp_path):
    base = KINDS[kind]()
    count = len(adapters.apply(base, 1).trainable_variables)
    model = ORIGINS[origin](base, adapters.apply(base, 1), tmp_path)
    _toggle_and_compare(model)
    assert len(model.trainable_variables) == count
    assert {v.name for v in model.trainable_variables} == {"lora_a", "lora_b"}


@pytest.mark.parametrize("kind", ["functional", "subclassed"])
@pytest.mark.parametrize("policy", ["adapt_statistics", "train"])
def test_what_was_named_to_train_goes_on_training_after_toggles(kind, policy, tmp_path):
    base = KINDS[kind]()
    also = "scaled" if kind == "functional" else "^dense_?[0-9]*$"
    model = adapters.apply(base, 1, batch_norm=policy, train_also=also)
    names = sorted(v.path for v in model.trainable_variables)
    assert any("gamma" in name or "kernel" in name for name in names)
    for origin in (ORIGINS["applied"], _file, _keras):
        other = origin(base, model, tmp_path)
        _toggle_and_compare(other)
        assert len(other.trainable_variables) == len(names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("toggled", ["model", "layers", "base"])
def test_training_after_toggles_moves_no_bit_of_the_base(kind, toggled, tmp_path):
    base = KINDS[kind]()
    weights = base.get_weights()
    model = adapters.apply(base, 1)
    before = adapters.snapshot(model)
    every = {
        "model": [model],
        "layers": model.layers,
        "base": model._flatten_layers(include_self=False),
    }[toggled]
    for one in every:
        one.trainable = False
    for one in every:
        one.trainable = True
    step(model)
    assert adapters.frozen_changed(before, model) == []
    assert adapters.unmoved_factors(before, model) == []
    loaded = _file(base, model, tmp_path)
    np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-6)
    for old, new in zip(weights, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", KINDS)
def test_base_that_its_owner_froze_and_a_model_saved_frozen_train_all_factors(
    kind, tmp_path
):
    base = KINDS[kind]()
    count = len(adapters.apply(base, 1).trainable_variables)
    base.trainable = False
    model = adapters.apply(base, 1)
    assert len(model.trainable_variables) == count
    model.trainable = False
    again = _keras(base, model, tmp_path)
    again.trainable = True
    assert len(again.trainable_variables) == count
    _toggle_and_compare(again)


def test_frozen_normalisation_normalises_with_its_own_statistics_after_toggles():
    base = Unnamed()
    base(X)
    base.norm.moving_mean.assign(np.linspace(-1, 1, 8))
    base.norm.moving_variance.assign(np.linspace(0.5, 2, 8))
    for make in (lambda: base, _normalised):
        model = adapters.apply(make(), 1)
        for one in model._flatten_layers():
            one.trainable = False
        for one in model._flatten_layers():
            one.trainable = True
        training = keras.ops.convert_to_numpy(model(X, training=True))
        np.testing.assert_allclose(training, outputs(model), atol=1e-6)


# What layers write to themselves.


@register
class Shrinking(layers.Dense):
    """Writes to its own kernel in training."""

    def call(self, x, training=None):
        if training:
            self.kernel.assign(self.kernel * 0.9)
        return super().call(x)


@register
class Centred(keras.Layer):
    """Keeps a moving mean, as a normalisation of a user's own would."""

    def build(self, shape):
        self.mean = self.add_weight(shape[-1:], name="mean", trainable=False)
        self.scale = self.add_weight(shape[-1:], initializer="ones", name="scale")

    def call(self, x, training=None):
        if training:
            mean = ops.mean(x, axis=(0, 1))
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
        return (x - self.mean) * self.scale


@register
class OwnNormalization(layers.BatchNormalization):
    """A class of its own, which no exchange knows."""


@register
class Writers(keras.Model):
    """A model without a graph, of layers that write."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = Shrinking(8, name="first")
        self.centre = Centred(name="middle")
        self.last = layers.Dense(6, name="last")

    def call(self, x, training=None):
        x = self.centre(self.first(x, training=training), training=training)
        return self.last(x)


def _around(layer):
    x = keras.Input((6, 8))
    y = layer(layers.Dense(8, name="first")(x))
    return keras.Model(x, layers.Dense(7, name="last")(y))


def _writers():
    model = Writers()
    model(X)
    return model


def _spectral(kind, *args, **kwargs):
    inner = kind(*args, **kwargs, name="inner")
    return _around(layers.SpectralNormalization(inner, name="middle"))


WRITING = {
    "spectral dense": lambda: _spectral(layers.Dense, 8),
    "spectral convolution": lambda: _spectral(layers.Conv1D, 8, 3, padding="same"),
    "spectral, three turns": lambda: _around(
        layers.SpectralNormalization(layers.Dense(8, name="inner"), 3, name="middle")
    ),
    "dense": lambda: _around(Shrinking(8, name="middle")),
    "mean": lambda: _around(Centred(name="middle")),
    "own normalisation": lambda: _around(OwnNormalization(name="middle")),
    "no graph": _writers,
}


@pytest.mark.parametrize("kind", WRITING)
def test_frozen_weight_that_a_layer_writes_to_stays_bit_for_bit(kind, tmp_path):
    base = WRITING[kind]()
    weights = base.get_weights()
    model = adapters.apply(base, 1)
    np.testing.assert_array_equal(outputs(model), outputs(base))
    adapted = [row["path"] for row in adapters.report(model) if row["rank"]]
    assert "middle/inner" not in adapted
    before = adapters.snapshot(model)
    step(model)
    assert adapters.frozen_changed(before, model) == []
    assert adapters.unmoved_factors(before, model) == []
    for other in (_file(base, model, tmp_path), adapters.merge(model)):
        np.testing.assert_allclose(outputs(other), outputs(model), atol=1e-6)
    for old, new in zip(weights, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", ["spectral dense", "spectral convolution", "dense"])
def test_kernel_that_its_model_writes_to_is_refused_by_name(kind):
    with pytest.raises(InputError, match="middle.*writes to its kernel in training"):
        adapters.apply(WRITING[kind](), 1, targets="middle")


def test_kernel_that_a_model_without_a_graph_writes_to_is_refused_by_name():
    with pytest.raises(InputError, match="first.*writes to its kernel in training"):
        adapters.apply(_writers(), 1, targets="first")


def test_layer_that_trains_in_full_keeps_what_it_writes(tmp_path):
    base = WRITING["spectral dense"]()
    model = adapters.apply(base, 1, train_also="middle")
    start = outputs(model)
    before = adapters.snapshot(model)
    step(model)
    changed = {k for k, v in adapters.snapshot(model).items() if v != before[k]}
    assert "middle/vector_u" in changed and "inner/kernel" in " ".join(changed)
    assert adapters.frozen_changed(before, model) == []
    loaded = _file(base, model, tmp_path)
    np.testing.assert_allclose(outputs(loaded), outputs(model), atol=1e-6)
    assert np.abs(outputs(model) - start).max() > 1e-3


@pytest.mark.parametrize("policy", ["freeze", "adapt_statistics"])
def test_own_class_of_batch_normalisation_keeps_to_the_policy(policy):
    base = WRITING["own normalisation"]()
    model = adapters.apply(base, 1, batch_norm=policy)
    norm = model.get_layer("middle")
    before = [keras.ops.convert_to_numpy(v).copy() for v in norm.weights]
    step(model)
    after = [keras.ops.convert_to_numpy(v) for v in norm.weights]
    moved = [not np.array_equal(x, y) for x, y in zip(before, after, strict=True)]
    assert moved == [False, False, *[policy != "freeze"] * 2]


def test_own_layer_that_writes_nothing_stays_in_a_graph_with_dropout():
    @register
    class Scaled(keras.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape[-1:], initializer="ones")

        def call(self, x):
            return x * self.scale

    model = adapters.apply(_around(Scaled()), 1, dropout=0.2)
    assert model.get_layer("last").dropout == 0.2


def test_recurrent_layer_remembers_from_call_to_call_as_in_the_base():
    x = keras.Input(batch_shape=(4, 6, 8))
    base = keras.Model(x, layers.Dense(7)(layers.LSTM(5, stateful=True)(x)))
    first, second = outputs(base), outputs(base)
    assert np.abs(first - second).max() > 1e-3
    model = adapters.apply(base, 1)  # remembers what the base does
    np.testing.assert_array_equal(outputs(model), outputs(base))
    np.testing.assert_array_equal(outputs(model), outputs(base))


def test_graph_is_still_one_with_layers_by_name():
    model = adapters.apply(graph(), 1)
    assert isinstance(model, type(graph()))
    assert model.get_layer("second").adapter_rank == 1

"""Functions that a live base holds, and adapted models as parts of others."""

import functools

import keras
import numpy as np
import pytest
from foreign import X, attention, explicit, large, outputs, register, step
from keras import layers, ops

from kphotoz import adapters
from kphotoz.errors import InputError

THREE = 3.0


def _tripled(x):
    return x * THREE


def _between(layer, **dense):
    x = keras.Input((6, 8))
    y = layer(layers.Dense(16, **dense)(x)) if layer else layers.Dense(16, **dense)(x)
    return keras.Model(x, layers.Dense(5)(layers.Dense(7)(y)))


def _with_attention(function, **dense):
    x = keras.Input((6, 8))
    y = layers.Lambda(function)(layers.Dense(8, **dense)(x))
    y = layers.MultiHeadAttention(2, 4)(y, y)
    return keras.Model(x, layers.Dense(5)(y))


@register
class Applied(keras.Layer):
    """A block that is given a function."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function
        self.dense = layers.Dense(8)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.function(self.dense(x))

    def get_config(self):
        function = keras.saving.serialize_keras_object(self.function)
        return super().get_config() | {"function": function}

    @classmethod
    def from_config(cls, config):
        function = keras.saving.deserialize_keras_object(config.pop("function"))
        return cls(function, **config)


def _two_functions_of_one_name():
    def double():
        def scaled(x):
            return 2 * x

        return scaled

    def half():
        def scaled(x):
            return 0.5 * x

        return scaled

    x = keras.Input((6, 8))
    y = layers.Dense(16, activation=double())(x)
    return keras.Model(x, layers.Dense(7, activation=half())(y))


LIVE = {
    "lambda layer": lambda: _between(layers.Lambda(lambda x: x * THREE)),
    "lambda of a named function": lambda: _between(layers.Lambda(_tripled)),
    "lambda with arguments": lambda: _between(
        layers.Lambda(lambda x, power: x**power, arguments={"power": 2})
    ),
    "lambda with shape, mask and training": lambda: _between(
        layers.Lambda(
            lambda x, mask=None, training=None: 2 * x,
            output_shape=lambda shape: shape,
            mask=lambda x, mask: None,
        )
    ),
    "lambda beside attention": lambda: _with_attention(lambda x: x * THREE),
    "lambda in a wrapper": lambda: _between(
        layers.TimeDistributed(layers.Lambda(lambda x: x * THREE))
    ),
    "lambda in a nested model": lambda: _between(
        keras.Sequential([keras.Input((6, 16)), layers.Lambda(lambda x: x * THREE)])
    ),
    "activation": lambda: _between(None, activation=lambda x: ops.tanh(x) * THREE),
    "named activation": lambda: _between(None, activation=_tripled),
    "partial activation": lambda: _between(
        None, activation=functools.partial(ops.leaky_relu, negative_slope=0.3)
    ),
    "two activations of one name": _two_functions_of_one_name,
    "initializer": lambda: _between(
        None, kernel_initializer=lambda shape, dtype=None: ops.ones(shape) * 0.1
    ),
    "activation beside attention": lambda: _with_attention(
        _tripled, activation=lambda x: ops.tanh(x) * THREE
    ),
    "argument of a block": lambda: _between(Applied(lambda x: x * THREE)),
    "recurrent activation": lambda: _between(
        layers.LSTM(4, return_sequences=True, activation=lambda x: ops.tanh(x))
    ),
}


ORDINARY = (
    *("lambda layer", "lambda with shape, mask and training", "partial activation"),
    *("activation beside attention", "two activations of one name"),
)


@pytest.mark.parametrize(
    "kind",
    [x if x in ORDINARY else pytest.param(x, marks=large) for x in LIVE],
)
def test_base_with_functions_of_its_own_is_adapted_loaded_and_merged(kind, tmp_path):
    base = LIVE[kind]()
    before = outputs(base)
    model = adapters.apply(base, 2)
    np.testing.assert_array_equal(outputs(model), before)
    step(model)
    wanted = explicit(base, model)
    assert np.abs(wanted - before).max() > 1e-4
    adapters.save(model, tmp_path / "a.safetensors")
    loaded = adapters.load(base, tmp_path / "a.safetensors")
    for other in (model, loaded, adapters.merge(model)):
        np.testing.assert_allclose(outputs(other), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(outputs(adapters.unmerge(model)), before)
    np.testing.assert_array_equal(outputs(base), before)


def test_base_keeps_its_own_functions():
    base = _between(layers.Lambda(_tripled), activation=_tripled)
    adapters.apply(base, 1)
    held = [base.layers[1].activation, base.layers[2].function]
    assert held == [_tripled, _tripled]


def test_class_that_keras_cannot_bring_back_is_refused_in_one_line():
    class Needy(keras.Layer):
        def __init__(self, size, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(size)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x)

        def get_config(self):
            return {"name": self.name}

    x = keras.Input((6, 8))
    base = keras.Model(x, layers.Dense(5)(Needy(8)(x)))
    with pytest.raises(InputError, match="Implement get_config") as caught:
        adapters.apply(base, 1)
    assert "\n" not in str(caught.value)


# An adapted model as a part of another.


def _adapted():
    return step(adapters.apply(attention(), 2))


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_features_of_a_layer_have_the_updates_in_them(name):
    model = _adapted()
    merged = adapters.merge(model)
    wanted = keras.Model(merged.input, merged.get_layer(name).output)
    found = keras.Model(model.input, model.get_layer(name).output)
    np.testing.assert_allclose(outputs(found), outputs(wanted), atol=1e-6)


def test_features_train_the_factors_alone_and_survive_a_file(tmp_path):
    model = step(adapters.apply(attention(), 2, targets="first|second"))
    features = keras.Model(model.input, model.get_layer("second").output)
    before = adapters.snapshot(model)
    step(features)
    assert adapters.frozen_changed(before, model) == []
    wanted = outputs(features)
    features.save(tmp_path / "features.keras")
    again = keras.models.load_model(tmp_path / "features.keras")
    np.testing.assert_allclose(outputs(again), wanted, atol=1e-6)
    trainable = {id(v) for v in again.trainable_variables}
    again.trainable = False
    again.trainable = True
    assert {id(v) for v in again.trainable_variables} == trainable


def test_inputs_and_outputs_are_those_of_keras(tmp_path):
    model = _adapted()
    whole = keras.Model(model.inputs[0], model.outputs[0])
    np.testing.assert_allclose(outputs(whole), outputs(model), atol=1e-6)
    head = keras.Model(model.input, layers.Dense(2)(model.output))
    head.save(tmp_path / "head.keras")
    again = keras.models.load_model(tmp_path / "head.keras")
    np.testing.assert_allclose(outputs(again), outputs(head), atol=1e-6)


def test_dict_of_inputs_keeps_its_structure():
    inputs = {name: keras.Input((6, 8), name=name) for name in ("left", "right")}
    y = layers.Dense(8)(inputs["left"]) + 2 * layers.Dense(8)(inputs["right"])
    base = keras.Model(inputs, layers.MultiHeadAttention(2, 4)(y, y))
    model = adapters.apply(base, 1)
    x = {"left": X, "right": X[::-1].copy()}
    np.testing.assert_array_equal(outputs(model, x), outputs(base, x))
    assert sorted(model.input) == ["left", "right"]
    whole = keras.Model(model.input, model.output)
    np.testing.assert_allclose(outputs(whole, x), outputs(base, x), atol=1e-6)


def test_optional_input_stays_optional():
    @register
    class Sum(keras.Layer):
        def call(self, x, y=None):
            return x if y is None else x + y

    one = keras.Input((6, 8), name="one")
    other = keras.Input((6, 8), name="other", optional=True)
    y = Sum()(layers.Dense(8)(one), other)
    base = keras.Model([one, other], layers.Dense(5)(y))
    model = adapters.apply(base, 1)
    for second in (None, X):
        wanted = keras.ops.convert_to_numpy(base([X, second]))
        found = keras.ops.convert_to_numpy(model([X, second]))
        np.testing.assert_array_equal(found, wanted)


@large
def test_features_of_a_backbone_of_keras_hub_with_lengths_left_open():
    import keras_hub

    base = keras_hub.models.BertBackbone(
        vocabulary_size=30,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=6,
    )
    ids = np.arange(12).reshape(2, 6)
    zeros, ones = np.zeros_like(ids), np.ones_like(ids)
    x = {"token_ids": ids, "segment_ids": zeros, "padding_mask": ones}
    model = adapters.apply(base, 1)
    for variable in model.trainable_variables:
        if variable.name == "lora_b":
            variable.assign(np.full(variable.shape, 0.1))
    merged = adapters.merge(model)
    name = "transformer_layer_0"
    wanted = keras.Model(merged.input, merged.get_layer(name).output)
    found = keras.Model(model.input, model.get_layer(name).output)
    np.testing.assert_allclose(outputs(found, x), outputs(wanted, x), atol=1e-5)
    plain = keras.Model(base.input, base.get_layer(name).output)
    assert np.abs(outputs(plain, x) - outputs(found, x)).max() > 1e-3


def test_model_with_an_adapted_model_in_it_is_no_base():
    model = _adapted()
    outer = keras.Model(model.input, layers.Dense(3)(model.output))
    with pytest.raises(InputError, match="Merge them first"):
        adapters.apply(outer, 1)


def test_model_without_symbolic_inputs_has_none_when_adapted():
    from foreign import unnamed

    assert not hasattr(adapters.apply(unnamed(), 1), "input")


@register
class Scaled(keras.Layer):
    """A block whose configuration holds its variable once it is built."""

    def __init__(self, scale=0.5, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.dense = layers.Dense(16)

    def build(self, shape):
        self.dense.build(shape)
        start = keras.initializers.Constant(self.scale)
        self.scale = self.add_weight(shape=(1,), initializer=start)

    def call(self, x):
        return self.dense(x) * self.scale

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


@pytest.mark.parametrize(
    "change", [adapters.fold, lambda base: adapters.apply(base, 1, targets="^last$")]
)
def test_variable_in_a_configuration_is_refused_and_left_alone(change):
    x = keras.Input((6, 8))
    y = layers.BatchNormalization()(layers.Dense(16, use_bias=False)(x))
    base = keras.Model(x, layers.Dense(8, name="last")(Scaled()(y)))
    before = [np.array(ops.convert_to_numpy(w)) for w in base.weights]
    with pytest.raises(InputError, match="Implement get_config"):
        change(base)
    for old, weight in zip(before, base.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(weight))

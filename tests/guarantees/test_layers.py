"""Round trips, precision and resumption of single LoRA layers."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.layers import LoRAConv1D, LoRAConv2D, LoRADense, LoRAEinsumDense

SETTINGS = {
    "rank": 3,
    "alpha": 7.0,
    "dropout": 0.25,
    "train_bias": True,
    "allow_full_rank": True,
    "seed": 11,
}
# Every option away from its default, in the sets that fit together.
ALL_SETTINGS = [
    SETTINGS,
    SETTINGS | {"dropout": 0.0, "formulation": "factored", "dora": True},
    SETTINGS | {"dora": True, "start": "pissa", "formulation": "two_branches"},
]


def _kinds(settings):
    """A model with one layer of each class."""
    zeros = {"kernel_initializer": "zeros"}
    layers = [
        keras.Input((7, 9, 5)),
        LoRAConv2D(4, 3, strides=2, **zeros, **settings),
        keras.layers.Reshape((12, 4)),
        LoRAConv1D(6, 3, padding="causal", dilation_rate=2, **zeros, **settings),
        LoRAEinsumDense("...c,cd->...d", (5,), bias_axes="d", **zeros, **settings),
        keras.layers.Flatten(),
        LoRADense(2, **zeros, **settings),
    ]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def _model():
    conv = LoRAConv2D(4, 3, strides=2, kernel_initializer="zeros", **SETTINGS)
    dense = LoRADense(2, kernel_initializer="zeros", **SETTINGS)
    layers = [keras.Input((7, 9, 5)), conv, keras.layers.Flatten(), dense]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def _clone(model, folder):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def _keras_file(model, folder):
    model.save(folder / "m.keras")
    return keras.models.load_model(folder / "m.keras")


def _weights_file(model, folder):
    model.save_weights(folder / "m.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(folder / "m.weights.h5")
    return clone


@pytest.mark.parametrize("settings", ALL_SETTINGS, ids=["plain", "dora", "pissa"])
@pytest.mark.parametrize("trip", [_clone, _keras_file, _weights_file])
def test_settings_and_every_weight_survive(trip, settings, tmp_path):
    model = _kinds(settings)
    x = np.random.default_rng(1).normal(size=(3, 7, 9, 5)).astype("float32")
    other = trip(model, tmp_path)
    for old, new in zip(model.layers, other.layers, strict=True):
        assert type(old) is type(new)
        assert old.get_config() == new.get_config()
        for setting, value in settings.items():
            if hasattr(new, "adapter_rank"):
                assert new.get_config()[setting] == value
    for old, new in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model(x), other(x))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("formulation", ["kernel", "two_branches"])
def test_identity_at_start_in_every_precision(dtype, formulation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 5, 4)).astype("float32")
    common = {"dtype": dtype, "kernel_initializer": "zeros"}
    for plain, lora in (
        (keras.layers.Conv2D(6, 3, **common), LoRAConv2D(6, 3, rank=2, **common)),
        (keras.layers.Dense(6, **common), LoRADense(6, rank=2, **common)),
    ):
        lora.formulation = formulation
        plain.build(x.shape)
        lora.build(x.shape)
        kernel = rng.normal(size=plain.kernel.shape)
        plain.kernel.assign(kernel)
        lora.base_kernel.assign(kernel)
        difference = keras.ops.cast(plain(x) - lora(x), "float32")
        assert float(keras.ops.max(keras.ops.abs(difference))) == 0.0


def test_saving_in_mixed_precision_rounds_nothing(small, images, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        clone = keras.models.clone_model(
            small,
            clone_function=lambda x: type(x).from_config(
                x.get_config() | {"dtype": "mixed_bfloat16"}
            ),
        )
        clone.set_weights(small.get_weights())
        model = adapters.apply(clone, 1)
        for weight in model.trainable_weights:
            weight.assign(weight + 1e-4)
        model.save(tmp_path / "m.keras")
        other = keras.models.load_model(tmp_path / "m.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    assert {v.dtype for v in model.weights} == {"float32"}
    for old, new in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(
        *(keras.ops.cast(x(images), "float32") for x in (model, other))
    )


@pytest.mark.parametrize("tensor", ["lora_a", "lora_b"])
def test_gradients_are_those_of_finite_differences(tensor):
    model = _model()
    for layer in model.layers:
        layer.dropout = 0.0
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 7, 9, 5)).astype("float32")
    y = rng.normal(size=(3, 2)).astype("float32")
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    start = model.get_weights()
    for layer in (model.layers[0], model.layers[-1]):
        variable = getattr(layer, tensor)
        model.set_weights(start)
        value = np.array(keras.ops.convert_to_numpy(variable))
        direction = rng.normal(size=value.shape)
        losses = []
        for step in (1e-3, -1e-3):
            variable.assign(value + step * direction)
            losses.append(float(np.mean((np.array(model(x)) - y) ** 2)))
        slope = (losses[0] - losses[1]) / 2e-3
        variable.assign(value)
        model.train_on_batch(x, y)
        moved = value - keras.ops.convert_to_numpy(variable)
        # Central differences in float32: relative error about 1e-3.
        np.testing.assert_allclose((moved * direction).sum(), slope, rtol=1e-2)

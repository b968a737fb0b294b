"""One small model with everything an adapter file can hold."""

import functools

import keras
import numpy as np
import pytest

IMAGE = (8, 6, 5)
# Values come from `disturb`; drawing them first costs JAX a compilation for each shape.
Conv2D = functools.partial(keras.layers.Conv2D, kernel_initializer="zeros")
Dense = functools.partial(keras.layers.Dense, kernel_initializer="zeros")


def build(prefix=""):
    """Returns a model whose layers are named with a prefix, or by Keras if None."""

    def name(text):
        return None if prefix is None else prefix + text

    image = keras.Input(IMAGE, name="image")
    conv = Conv2D(6, 3, padding="same", use_bias=False, name=name("stem"))
    x = keras.layers.BatchNormalization(name=name("stem_norm"))(conv(image))
    x = keras.layers.ReLU(name=name("relu"))(x)
    x = Conv2D(8, 3, groups=2, name=name("block"))(x)
    x = keras.layers.GlobalAveragePooling2D(name=name("pool"))(x)
    x = Dense(7, activation="silu", name=name("head_1"))(x)
    x = keras.layers.Dropout(0.1, seed=2, name=name("head_drop"))(x)
    return keras.Model(image, Dense(1, name=name("head_2"))(x), name="m")


def disturb(model, seed=0):
    """Gives every weight a value that no initializer has."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = rng.normal(0.0, 0.3, weight.shape)
        weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)
    return model


@pytest.fixture
def base():
    """A disturbed model with named layers."""
    return disturb(build())


@pytest.fixture
def images():
    """Four images of the shape all models take."""
    return np.random.default_rng(7).normal(size=(4, *IMAGE)).astype("float32")


@pytest.fixture
def trained(base):
    """The base with adapters, every added or freed weight at a value of its own."""
    from kphotoz import adapters

    model = adapters.apply(
        base, rank=2, alpha=3.0, batch_norm="adapt_statistics", train_also="head_2"
    )
    rng = np.random.default_rng(1)
    frozen = {id(v) for v in model.non_trainable_weights}
    for weight in model.weights:
        if id(weight) not in frozen or "moving" in weight.name:
            weight.assign(np.abs(rng.normal(0.1, 0.3, weight.shape)))
    return model

"""What tests of other people's models share: data, steps, and the explicit kernel."""

import keras
import numpy as np
from keras import layers, ops

from kphotoz import adapters
from kphotoz.adapters import paths

X = np.random.default_rng(0).normal(size=(4, 6, 8)).astype("float32")
register = keras.saving.register_keras_serializable("kphotoz_foreign")


def outputs(model, x=X):
    return keras.ops.convert_to_numpy(model(x, training=False))


def step(model, x=X, steps=3):
    """Trains so that every factor moves, and far enough to be seen."""
    rule = keras.optimizers.Adam(1e-2)
    model.compile(rule, "mse", jit_compile=keras.backend.backend() == "jax")
    targets = np.ones(model(x).shape, "float32")
    for _ in range(steps):
        model.train_on_batch(x, targets)
    return model


def explicit(base, model, x=X):
    """Returns the base's outputs with K + alpha / rank * A @ B in place of each K.

    Layers are found by their paths in the base, as a user names them.
    """
    rows = [row for row in adapters.report(model) if row["rank"]]
    factors = [v for v in model.variables if v.name in ("lora_a", "lora_b")]
    kept = []
    for row, a, b in zip(rows, factors[::2], factors[1::2], strict=True):
        kernel = paths.walk(base)[row["path"]].kernel
        kept.append((kernel, paths.value(kernel)))
        matrices = [paths.value(v) for v in (a, b)]
        product = matrices[0].reshape(-1, row["rank"]) @ matrices[1].reshape(
            row["rank"], -1
        )
        update = row["alpha"] / row["rank"] * product
        kernel.assign(kept[-1][1] + update.reshape(kernel.shape))
    wanted = outputs(base, x)
    for kernel, value in kept:
        kernel.assign(value)
    return wanted


def graph(**dense):
    x = keras.Input((6, 8))
    y = layers.Dense(16, name="first", **({"activation": "relu"} | dense))(x)
    y = layers.EinsumDense("abc,cd->abd", (None, 4), name="second")(y)
    return keras.Model(x, layers.Dense(6, name="third")(y))


def attention():
    x = keras.Input((6, 8))
    y = layers.Dense(16, name="first", activation="relu")(x)
    y = layers.MultiHeadAttention(2, 4, name="second")(y, y)
    return keras.Model(x, layers.Dense(6, name="third")(y))


@register
class Block(keras.Layer):
    """A block whose sublayers nobody named."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.up = layers.Dense(12)
        self.down = layers.Dense(8)

    def build(self, shape):
        self.up.build(shape)
        self.down.build((*shape[:-1], 12))

    def call(self, x):
        return x + self.down(ops.tanh(self.up(x)))


@register
class Unnamed(keras.Model):
    """A model of unnamed layers, blocks and normalisation."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = layers.Dense(8)
        self.blocks = [Block(), Block()]
        self.norm = layers.BatchNormalization()
        self.head = layers.Dense(1)  # too narrow for an adapter

    def call(self, x, training=None):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x, training=training))


def unnamed():
    model = Unnamed()
    model(X)
    return model


def blocks():
    x = keras.Input((6, 8))
    y = Block()(Block()(x))
    return keras.Model(x, layers.Dense(1)(layers.Dense(5)(y)))

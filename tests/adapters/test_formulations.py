"""Whole models in the factored form: the oracle is the kernel form, or numpy."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters.paths import value

STEPS = 2


@keras.saving.register_keras_serializable(package="kphotoz_tests")
class Tied(keras.Model):
    """Reads the kernel of a Dense a second time, transposed, as an autoencoder does."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(
            4, use_bias=False, kernel_initializer="zeros", name="dense"
        )

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        hidden = self.dense(x)
        return keras.ops.matmul(hidden, keras.ops.transpose(self.dense.kernel))


@keras.saving.register_keras_serializable(package="kphotoz_tests")
class Block(keras.Model):
    """Subclassed attention and dense layers, called one after another."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        zeros = {"kernel_initializer": "zeros"}
        self.attention = keras.layers.MultiHeadAttention(2, 4, name="mha", **zeros)
        self.dense = keras.layers.Dense(3, activation="tanh", name="dense", **zeros)

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)
        self.dense.build(input_shape)
        self.built = True

    def call(self, x):
        return self.dense(x + self.attention(x, x))


def tied():
    model = Tied(name="tied")
    model(np.zeros((1, 6), "float32"))
    return model, (6,), (6,)


def subclassed():
    model = Block(name="block")
    model(np.zeros((1, 5, 6), "float32"))
    return model, (5, 6), (5, 3)


def attention():
    x = keras.Input((5, 6))
    y = keras.layers.MultiHeadAttention(2, 4, kernel_initializer="zeros", name="mha")(
        x, x
    )
    head = keras.layers.Dense(3, kernel_initializer="zeros", name="head")
    return keras.Model(x, head(y)), (5, 6), (5, 3)


def graph():
    zeros = {"kernel_initializer": "zeros"}
    x = keras.Input((8, 5))
    y = keras.layers.Conv1D(6, 3, padding="causal", name="conv", **zeros)(x)
    shared = keras.layers.EinsumDense(
        "abc,cd->abd", (None, 6), name="einsum", bias_axes="d", **zeros
    )
    y = shared(keras.ops.tanh(shared(y)))
    return keras.Model(x, y), (8, 5), (8, 6)


def disturbed(make):
    model, inputs, outputs = make()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    x, y = (rng.normal(size=(3, *s)).astype("float32") for s in (inputs, outputs))
    return model, x, y


def trained(base, x, y, **options):
    model = adapters.apply(base, rank=2, alpha=3.0, **options)
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize("more", [{}, {"dora": True, "start": "pissa"}], ids=str)
@pytest.mark.parametrize("make", [attention, subclassed, graph, tied])
def test_two_steps_of_both_forms_end_at_the_same_weights(make, more):
    base, x, y = disturbed(make)
    before = base.get_weights()
    kernel, factored = (
        trained(base, x, y, formulation=form, **more) for form in ("kernel", "factored")
    )
    for one, two in zip(kernel.weights, factored.weights, strict=True):
        np.testing.assert_allclose(value(one), value(two), atol=1e-5, err_msg=one.path)
    moved = adapters.unmoved_factors(
        adapters.snapshot(adapters.apply(base, 2, 3.0, **more)), factored, "B"
    )
    assert moved == []
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    merged = adapters.merge(factored)
    np.testing.assert_allclose(merged(x), factored(x), atol=2e-5)


@pytest.mark.parametrize("formulation", ["kernel", "factored"])
def test_a_kernel_read_twice_gives_the_gradient_of_both_readings(formulation):
    base, x, y = disturbed(tied)
    model = adapters.apply(base, rank=2, alpha=3.0, formulation=formulation)
    rng = np.random.default_rng(4)
    factors = model.factors[0]
    a, b = (rng.normal(0, 0.3, size=v.shape) for v in (factors.lora_a, factors.lora_b))
    factors.lora_a.assign(a)
    factors.lora_b.assign(b)
    kernel = value(base.weights[0]).astype("float64") + 1.5 * a @ b
    residual = 2 * (x @ kernel @ kernel.T - y) / y.size
    gradient = x.T @ residual @ kernel + residual.T @ x @ kernel
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.train_on_batch(x, y)
    moved_a, moved_b = a - value(factors.lora_a), b - value(factors.lora_b)
    np.testing.assert_allclose(moved_a, 1.5 * gradient @ b.T, atol=1e-5)
    np.testing.assert_allclose(moved_b, 1.5 * a.T @ gradient, atol=1e-5)


def test_conv1d_and_einsum_are_exchanged_in_a_graph_that_stays_one():
    base, x, _ = disturbed(graph)
    model = adapters.apply(base, 2, dropout=0.2)
    assert isinstance(model, type(base))
    names = [type(model.get_layer(n)).__name__ for n in ("conv", "einsum")]
    assert names == ["LoRAConv1D", "LoRAEinsumDense"]
    # The einsum is called twice and is one layer: two factors each, no more.
    assert adapters.count(model) == 2 * (3 * 5 + 6) + 2 * (6 + 6)
    assert len(model.trainable_weights) == 4
    np.testing.assert_array_equal(model(x), base(x))
    plain = adapters.merge(model)
    kinds = {type(layer).__module__.split(".")[0] for layer in plain.layers}
    assert "kphotoz" not in kinds


def test_the_options_reach_every_layer_and_a_stabilized_rank_its_root():
    base, *_ = disturbed(graph)
    options = {"start": "pissa", "dora": True, "formulation": "factored"}
    model = adapters.apply(base, 2, 3.0, rank_stabilized=True, **options)
    for name in ("conv", "einsum"):
        config = model.get_layer(name).get_config()
        assert {key: config.get(key) for key in options} == options
        # alpha / sqrt(rank), Kalajdzievski 2023.
        np.testing.assert_allclose(config["alpha"] / config["rank"], 3 / 2**0.5)


@pytest.mark.parametrize("make", [graph, attention])
def test_pissa_and_dora_come_back_from_a_file_bit_for_bit(make, tmp_path):
    base, x, y = disturbed(make)
    options = {"start": "pissa", "dora": True, "rank_stabilized": True}
    model = trained(base, x, y, **options)
    adapters.save(model, tmp_path / "a.safetensors")
    loaded = adapters.load(base, tmp_path / "a.safetensors")
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(value(old), value(new))
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)
    names = [[v.path for v in m.trainable_weights] for m in (model, loaded)]
    assert names[0] == names[1]

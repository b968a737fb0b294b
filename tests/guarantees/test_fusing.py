"""Activations and normalisations in one pass give what separate passes give."""

import math

import keras
import numpy as np
import pytest

from kphotoz import adapters, backend
from kphotoz.adapters.paths import value
from kphotoz.layers import BandStretch

TOLERANCE = 1e-5
TENSORFLOW = keras.backend.backend() == "tensorflow"


@pytest.fixture(autouse=True)
def without_jit(monkeypatch):
    monkeypatch.delenv("KPHOTOZ_JIT", raising=False)


def graph():
    x = keras.Input((5, 6))
    y = keras.layers.Dense(8, activation="gelu", name="up")(x)
    y = keras.layers.LayerNormalization(name="norm")(y)
    y = keras.layers.EinsumDense(
        "abc,cd->abd", (None, 6), activation="silu", bias_axes="d", name="einsum"
    )(y)
    y = keras.layers.Conv1D(4, 3, activation="gelu", name="conv")(y)
    return keras.Model(x, keras.layers.Dense(3, name="head")(y)), (5, 6), (3, 3)


def attention():
    x = keras.Input((5, 6))
    y = keras.layers.LayerNormalization(name="norm")(x)
    y = x + keras.layers.MultiHeadAttention(2, 3, name="mha")(y, y)
    y = keras.layers.Dense(9, activation="gelu", name="up")(y)
    return keras.Model(x, keras.layers.Dense(3, name="head")(y)), (5, 6), (5, 3)


FUSED = {"graph": ["up", "norm", "einsum", "conv"], "attention": ["norm", "up"]}
MAKERS = {"graph": graph, "attention": attention}


def pair(kind, **options):
    """Returns two equal adapted models away from their start, and a batch."""
    base, inputs, outputs = MAKERS[kind]()
    rng = np.random.default_rng(0)
    for weight in base.weights:
        weight.assign(rng.normal(0.2, 0.4, weight.shape))
    models = [adapters.apply(base, rank=2, alpha=3.0, **options) for _ in range(2)]
    for weights in zip(*(model.trainable_weights for model in models), strict=True):
        noise = rng.normal(0.0, 0.3, weights[0].shape)
        for weight in weights:
            weight.assign(noise)
    x, y = (rng.normal(size=(3, *s)).astype("float32") for s in (inputs, outputs))
    return *models, x, y


def steps(model, x, y, count=2, rate=0.1):
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.SGD(rate), "mse", jit_compile=jit)
    return [float(model.train_on_batch(x, y)) for _ in range(count)]


@pytest.mark.parametrize("formulation", ["kernel", "factored"])
@pytest.mark.parametrize("kind", FUSED)
def test_fused_steps_train_what_separate_passes_train(kind, formulation):
    plain, fused, x, y = pair(kind, formulation=formulation)
    assert adapters.fuse_training(fused) == (FUSED[kind] if TENSORFLOW else [])
    want, got = value(plain(x)), value(fused(x))
    np.testing.assert_allclose(got, want, atol=TOLERANCE * np.abs(want).max())
    np.testing.assert_allclose(steps(fused, x, y), steps(plain, x, y), rtol=TOLERANCE)
    for one, two in zip(plain.weights, fused.weights, strict=True):
        atol = TOLERANCE * max(1.0, np.abs(value(one)).max())
        np.testing.assert_allclose(value(two), value(one), atol=atol, err_msg=one.path)


def test_what_trains_beside_the_factors_keeps_its_gradient():
    plain, fused, x, y = pair("graph", train_also="norm|up")
    adapters.fuse_training(fused)
    assert len(plain.trainable_weights) == 8  # two pairs, gamma, beta, the Dense
    before = [value(v) for v in fused.trainable_weights]
    steps(plain, x, y)
    steps(fused, x, y)
    pairs = zip(plain.trainable_weights, fused.trainable_weights, strict=True)
    for old, (one, two) in zip(before, pairs, strict=True):
        assert np.abs(value(two) - old).max() > 0, two.path
        np.testing.assert_allclose(value(two), value(one), atol=1e-5, err_msg=one.path)


@pytest.mark.parametrize("kind", FUSED)
def test_fusing_leaves_configurations_files_and_reloads_alone(kind, tmp_path):
    plain, fused, x, _ = pair(kind)
    adapters.fuse_training(fused)
    fused.save(tmp_path / "fused.keras")
    again = keras.models.load_model(tmp_path / "fused.keras")
    np.testing.assert_array_equal(value(again(x)), value(plain(x)))
    np.testing.assert_array_equal(
        value(adapters.merge(fused)(x)), value(adapters.merge(plain)(x))
    )


def test_fusing_a_plain_model_needs_no_adapter():
    base, inputs, _ = graph()
    x = np.random.default_rng(0).normal(size=(2, *inputs)).astype("float32")
    want = value(base(x))
    for layer in base.layers:
        layer.trainable = False
    adapters.fuse_training(base)
    np.testing.assert_allclose(value(base(x)), want, atol=TOLERANCE)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX joins passes itself")
def test_where_the_whole_step_is_compiled_nothing_is_fused(monkeypatch):
    monkeypatch.setenv("KPHOTOZ_JIT", "1")
    assert adapters.fuse_training(graph()[0]) == []


@pytest.mark.skipif(not TENSORFLOW, reason="JAX joins passes itself")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gelu_in_one_pass_is_the_closed_form_and_its_derivative(dtype):
    import tensorflow as tf

    layer = keras.layers.Dense(7, activation="gelu", dtype=dtype)
    model = keras.Sequential([keras.Input((7,), dtype=dtype), layer])
    layer.kernel.assign(np.eye(7))
    adapters.fuse_training(model)
    x = np.linspace(-6, 6, 70).reshape(10, 7)
    x = tf.cast(x, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        got = model(x)
    slope = tape.gradient(got, x)
    at = np.asarray(tf.cast(x, "float64"))
    normal = np.vectorize(lambda z: 0.5 * math.erfc(-z / math.sqrt(2)))(at)
    density = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    # bfloat16 has 8 significant bits.
    relative = 1e-6 if dtype == "float32" else 2**-8
    for found, wanted in ((got, at * normal), (slope, normal + at * density)):
        found = np.asarray(tf.cast(found, "float64"))
        np.testing.assert_allclose(found, wanted, rtol=relative, atol=2e-6)


def test_a_stretch_in_one_pass_is_arcsinh_with_its_derivative():
    softening, scales = np.array([0.02, 3.0]), np.array([1.5, 0.5])
    layer = BandStretch("gr", 0.2, scales, softening, name="stretch")
    plain = BandStretch("gr", 0.2, stretch="none", name="plain")
    inputs = keras.Input((3, 4, 2))
    model = keras.Model(inputs, layer(plain(inputs)))
    assert adapters.fuse_training(model) == (["stretch"] if TENSORFLOW else [])
    sizes = np.geomspace(1e-30, 1e18, 23)
    x = np.concatenate([-sizes, [0.0, -0.0], sizes]).reshape(2, 3, 4, 2)
    x = x.astype("float32")
    exact = np.arcsinh(x / softening) / scales
    np.testing.assert_allclose(value(model(x)), exact, rtol=1e-6, atol=0)
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at := tf.constant(x))
            result = model(at)
        slope = 1 / (scales * np.hypot(x, softening))
        found = tape.gradient(result, at)
        np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-30)


@pytest.mark.skipif(not TENSORFLOW, reason="a custom gradient in steps of TensorFlow")
@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.large)])
@pytest.mark.parametrize("kind", FUSED)
def test_compiled_steps_take_the_gradients_of_eager_ones(kind, count):
    """A custom gradient of factors read some of them after their update."""
    import tensorflow as tf

    _, model, x, y = pair(kind)
    assert adapters.fuse_training(model)
    rng = np.random.default_rng(1)
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    for _ in range(count):
        for weight in model.trainable_weights:
            weight.assign(rng.normal(0.0, 0.3, weight.shape))
        before = [value(v) for v in model.trainable_weights]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        wanted = tape.gradient(loss, [v.value for v in model.trainable_weights])
        model.train_on_batch(x, y)
        for old, new, one in zip(before, model.trainable_weights, wanted, strict=True):
            np.testing.assert_allclose(old - value(new), one, atol=2e-5)


def test_a_function_in_one_pass_has_no_gradient_for_its_constants():
    if not TENSORFLOW:
        assert not backend.joins_passes()
        return
    import tensorflow as tf

    cube = backend.in_one_pass(lambda x, k: k * x**3)
    x, k = tf.constant([1.0, 2.0]), tf.constant(5.0)
    with tf.GradientTape() as tape:
        tape.watch([x, k])
        got = cube(x, k)
    np.testing.assert_array_equal(got, [5.0, 40.0])
    by_x, by_k = tape.gradient(got, [x, k])
    np.testing.assert_array_equal(by_x, [15.0, 60.0])
    assert by_k is None

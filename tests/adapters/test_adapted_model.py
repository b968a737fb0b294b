"""What differs for models that are called statelessly instead of rebuilt."""

import functools

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError

Dense = functools.partial(keras.layers.Dense, kernel_initializer="zeros")


def _attention(**dense):
    x = keras.Input((6, 5))
    y = Dense(8, name="embed", **dense)(x)
    y = keras.layers.ActivityRegularization(l2=0.1, name="activity")(y)
    y = keras.layers.MultiHeadAttention(
        2, 4, kernel_initializer="zeros", name="attention"
    )(y, y)
    model = keras.Model(x, Dense(2, name="head")(y))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(3, 6, 5)).astype("float32")


def test_attention_with_factors_is_attention_with_summed_kernels(x):
    base = _attention()
    model = adapters.apply(base, rank=2, alpha=3.0, targets="attention")
    rng = np.random.default_rng(2)
    for name, factors in zip(
        ("query", "key", "value", "attention_output"), model.factors, strict=True
    ):
        a, b = (rng.normal(0, 0.3, size=v.shape) for v in factors.weights)
        factors.lora_a.assign(a)
        factors.lora_b.assign(b)
        kernel = getattr(base.get_layer("attention"), f"{name}_dense", None)
        kernel = (kernel or base.get_layer("attention").output_dense).kernel
        product = a.reshape(-1, len(b)) @ b.reshape(len(b), -1)
        kernel.assign(kernel + 1.5 * product.reshape(kernel.shape))
    np.testing.assert_allclose(model(x), base(x), atol=1e-5)


def test_losses_of_the_base_reach_the_trainer_and_decay_acts_on_the_update(x):
    base = _attention(kernel_regularizer=keras.regularizers.L2(0.01))
    plain = _attention()
    model = adapters.apply(base, 1, targets="embed")
    model(x), plain(x)
    decay, activity = sorted(float(loss) for loss in model.losses)
    assert decay == 0.0
    np.testing.assert_allclose(activity, float(plain.losses[0]), rtol=1e-5)
    jit = keras.backend.backend() == "jax"
    model.compile("sgd", "mse", jit_compile=jit)
    loss = model.train_on_batch(x, np.zeros((3, 6, 2), "float32"))
    expected = np.mean(keras.ops.convert_to_numpy(plain(x)) ** 2) + activity
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_toggles_thaw_nothing_and_named_layers_train(x):
    model = adapters.apply(_attention(), 1, targets="attention", train_also="head")
    wanted = {"head/kernel", "head/bias"} | {
        v.path for factors in model.factors for v in factors.weights
    }
    for _ in range(2):
        assert {v.path for v in model.trainable_weights} == wanted
        model.trainable = False
        assert model.trainable_weights == []
        model.trainable = True


def test_mixed_precision_of_the_base_is_kept_and_storage_is_float32(x):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        base = _attention()
        model = adapters.apply(base, 1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {v.dtype for v in model.weights} == {"float32"}
    got, wanted = model(x), base(x)
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"
    np.testing.assert_array_equal(
        *(keras.ops.cast(y, "float32") for y in (got, wanted))
    )


def test_class_that_cannot_be_rebuilt_is_refused():
    class Odd(keras.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(units, name="dense")

        def call(self, x):
            return self.dense(x)

    model = Odd(units=4)
    model(np.ones((2, 5), "float32"))
    with pytest.raises(InputError, match="rebuilt from its configuration.*Odd"):
        adapters.apply(model, 1)


def test_keras_hub_task_keeps_its_class_when_merged():
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(8, 6, 5),
    )
    task = keras_hub.models.ImageClassifier(backbone=backbone, num_classes=3)
    model = adapters.apply(task, 1, targets="conv", train_also="predictions")
    for factors in model.factors:
        factors.lora_b.assign(np.full(factors.lora_b.shape, 0.1))
    merged = adapters.merge(model)
    assert type(merged) is type(task)
    images = np.random.default_rng(0).normal(size=(2, 8, 6, 5)).astype("float32")
    np.testing.assert_allclose(merged(images), model(images), atol=1e-6)

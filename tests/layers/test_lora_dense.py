import keras
import numpy as np
import pytest

from kphotoz.layers import LoRADense


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.fixture
def layer():
    layer = LoRADense(3, "tanh", rank=2, alpha=5.0, seed=3, bias_initializer="normal")
    layer.build((None, 7))
    layer.lora_b.assign(np.random.default_rng(0).normal(size=(2, 3)))
    return layer


@pytest.mark.parametrize("formulation", ["kernel", "two_branches"])
def test_equals_explicit_matrix(layer, formulation):
    layer.formulation = formulation
    x = np.random.default_rng(1).normal(size=(4, 5, 7)).astype("float32")
    kernel = _numpy(layer.base_kernel) + 2.5 * _numpy(layer.lora_a) @ _numpy(
        layer.lora_b
    )
    expected = np.tanh(x @ kernel + _numpy(layer.bias))
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_only_factors_train_whatever_is_toggled(layer):
    layer.trainable = False
    layer.trainable = True
    assert {v.name for v in layer.trainable_weights} == {"lora_a", "lora_b"}


def test_bias_trains_on_request():
    layer = LoRADense(3, rank=1, train_bias=True)
    layer.build((None, 7))
    names = {v.name for v in layer.trainable_weights}
    assert names == {"bias", "lora_a", "lora_b"}


@pytest.mark.parametrize(
    "bad",
    [
        {"rank": 0},
        {"rank": -1},
        {"rank": 2.5},
        {"rank": True},
        {"rank": None},
        {"alpha": 0},
        {"alpha": -1.0},
        {"alpha": float("nan")},
        {"alpha": float("inf")},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dropout": 0.1, "formulation": "kernel"},
        {"formulation": "other"},
        {"kernel_constraint": "non_neg"},
    ],
    ids=str,
)
def test_bad_arguments_are_refused_with_wanted_and_received(bad):
    with pytest.raises(ValueError, match="Wanted.*Received"):
        LoRADense(3, **bad)


@pytest.mark.parametrize("shape,rank", [((None, 7), 4), ((None, 2), 3)])
def test_rank_above_the_smaller_side_is_refused_at_build(shape, rank):
    with pytest.raises(ValueError, match=f"<= {min(shape[1], 3)} for.*{rank}"):
        LoRADense(3, rank=rank).build(shape)


def test_full_rank_is_accepted_on_request_up_to_the_larger_side():
    LoRADense(1, rank=4, allow_full_rank=True).build((None, 7))
    with pytest.raises(ValueError, match="<= 7"):
        LoRADense(1, rank=8, allow_full_rank=True).build((None, 7))


def test_keras_lora_and_quantization_are_refused_with_the_reason(layer):
    with pytest.raises(ValueError, match="already has factors"):
        layer.enable_lora(2)
    with pytest.raises(ValueError, match="cannot be quantized"):
        layer.quantize("int8")


def test_regularizer_acts_on_the_update_and_on_nothing_else():
    layer = LoRADense(3, rank=2, alpha=6.0, kernel_regularizer=keras.regularizers.L2(1))
    x = np.ones((2, 7), "float32")
    layer(x)
    assert [float(loss) for loss in layer.losses] == [0.0]
    layer.lora_b.assign(np.ones((2, 3)))
    layer(x)
    delta = 3.0 * _numpy(layer.lora_a) @ np.ones((2, 3))
    assert len(layer.losses) == 1
    np.testing.assert_allclose(float(layer.losses[0]), (delta**2).sum(), rtol=1e-5)


def test_regularizer_of_a_shared_layer_counts_once_as_keras_counts_it():
    def penalty(layer):
        one, two = keras.Input((7,)), keras.Input((7,))
        model = keras.Model([one, two], layer(one) + layer(two))
        if isinstance(layer, LoRADense):
            layer.lora_b.assign(np.ones((2, 3)))
        for _ in range(2):
            model([np.ones((2, 7), "float32")] * 2)
        return [float(loss) for loss in model.losses]

    options = {"kernel_regularizer": keras.regularizers.L2(1)}
    layer = LoRADense(3, rank=2, alpha=6.0, **options)
    (found,) = penalty(layer)
    delta = 3.0 * _numpy(layer.lora_a) @ np.ones((2, 3))
    np.testing.assert_allclose(found, (delta**2).sum(), rtol=1e-5)
    assert len(penalty(keras.layers.Dense(3, **options))) == 1


def test_dropout_is_off_at_inference_and_unbiased_on_the_branch_only():
    layer = LoRADense(3, rank=2, dropout=0.4, seed=5)
    x = np.random.default_rng(1).normal(size=(1, 7)).astype("float32")
    layer(x)
    many = np.repeat(x, 40_000, axis=0)
    # B is zero: only the branch drops, so nothing is random yet.
    np.testing.assert_allclose(
        layer(many, training=True), layer(many, training=False), atol=1e-6
    )
    layer.lora_b.assign(np.random.default_rng(2).normal(size=(2, 3)))
    quiet = _numpy(layer(x))
    np.testing.assert_allclose(_numpy(layer(many)), quiet.repeat(40_000, 0), rtol=1e-5)
    noisy = _numpy(layer(many, training=True))
    assert noisy.std(axis=0).min() > 0
    error = noisy.std(axis=0) / np.sqrt(len(many))
    # 5 sigma on three outputs: false alarm below 2e-6, and the seed is fixed.
    assert (np.abs(noisy.mean(axis=0) - quiet[0]) < 5 * error).all()


def test_plain_weights_are_refused_by_name(layer):
    store = {}
    keras_layer = keras.layers.Dense(3)
    keras_layer.build((None, 7))
    keras_layer.save_own_variables(store)
    with pytest.raises(ValueError, match="Load plain weights into the base"):
        layer.load_own_variables(store)


def test_mixed_precision_stores_float32_and_sums_in_float32():
    layer = LoRADense(3, rank=2, dtype="mixed_bfloat16", seed=0)
    layer(np.ones((2, 7), "float32"))
    assert {v.dtype for v in layer.weights} == {"float32"}
    assert keras.backend.standardize_dtype(layer.kernel.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(layer.update().dtype) == "float32"

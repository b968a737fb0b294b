"""What DoRA, PiSSA, dropout and the refusals promise for every kind of layer."""

import keras
import numpy as np
import pytest

FORMULATIONS = ["kernel", "factored", "two_branches"]
STARTS = [(False, "zero"), (True, "zero"), (False, "pissa"), (True, "pissa")]


@pytest.mark.parametrize("dora,start", STARTS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_adapter_is_identity_at_start(oracle, case, dora, start, dtype):
    pair = oracle.Pair(case, moved=False, dora=dora, start=start, dtype=dtype)
    plain = keras.ops.cast(pair.plain(pair.x), "float32")
    assert not np.any(oracle.numpy(pair.lora.update()))
    for formulation in ["kernel", "factored"]:
        pair.lora.formulation = formulation
        for training in (True, False):
            got = keras.ops.cast(pair.lora(pair.x, training=training), "float32")
            np.testing.assert_array_equal(got, plain)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_two_branches_with_a_zero_b_are_identity_at_start(oracle, case, dora, dtype):
    pair = oracle.Pair(
        case, moved=False, dora=dora, dtype=dtype, formulation="two_branches"
    )
    plain, got = (keras.ops.cast(x(pair.x), "float32") for x in (pair.plain, pair.lora))
    np.testing.assert_array_equal(got, plain)


def test_pissa_starts_at_the_truncated_svd_and_leaves_the_kernel(oracle, case):
    pair = oracle.Pair(case, moved=False, start="pissa")
    kernel, _, a, b, scale = pair.parts()
    np.testing.assert_array_equal(
        oracle.numpy(pair.lora.base_kernel), pair.plain.kernel
    )
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    best = (left[:, :2] * values[:2]) @ right[:2]
    np.testing.assert_allclose(scale * a @ b, best, atol=1e-5)
    # Both factors carry the root of each singular value.
    sizes = np.sqrt(values[:2] / scale)
    np.testing.assert_allclose(np.linalg.norm(a, axis=0), sizes, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(b, axis=1), sizes, rtol=1e-5)
    names = {v.name for v in pair.lora.non_trainable_weights}
    assert {"kernel", "lora_a_start", "lora_b_start"} <= names


def test_update_of_dora_is_the_formula_of_the_paper(oracle, case):
    pair = oracle.Pair(case, dora=True)
    kernel = oracle.numpy(pair.lora.base_kernel)
    wanted = pair.explicit() - kernel
    np.testing.assert_allclose(pair.lora.update(), wanted, atol=1e-5)
    outputs = pair.matrix(kernel).shape[1]
    assert tuple(pair.lora.lora_magnitude.shape) == (outputs,)
    # Its columns have the norm that is trained, whatever A and B do to them.
    norms = np.linalg.norm(pair.matrix(kernel + wanted), axis=0)
    delta = oracle.numpy(pair.lora.lora_magnitude)
    start = np.linalg.norm(pair.matrix(kernel), axis=0)
    np.testing.assert_allclose(norms, np.abs(start + delta), rtol=1e-5)


def test_dora_of_an_empty_column_stays_finite_and_empty(oracle):
    pair = oracle.Pair(oracle.cases["dense"], moved=False, dora=True)
    kernel = oracle.numpy(pair.lora.base_kernel)
    kernel[:, 1] = 0.0
    pair.lora.base_kernel.assign(kernel)
    np.testing.assert_array_equal(pair.lora.update(), np.zeros((5, 6)))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_update_of_one_hundredth_is_applied_in_bfloat16(oracle, formulation):
    rng = np.random.default_rng(0)
    case = oracle.Case("Dense", {"units": 64, "activation": None}, (256, 64))
    options = {"rank": 4, "alpha": 4.0, "formulation": formulation}
    pair = oracle.Pair(case, moved=False, dtype="mixed_bfloat16", **options)
    kernel = 0.1 * rng.normal(size=(64, 64))
    a, b = rng.normal(size=(64, 4)), 1e-2 * rng.normal(size=(4, 64))
    layer = pair.lora
    layer.base_kernel.assign(kernel)
    layer.bias.assign(np.zeros(64))

    def outputs():
        got = layer(pair.x, training=True)
        return oracle.numpy(keras.ops.cast(got, "float32")).astype("float64")

    start = outputs()
    layer.lora_a.assign(a)
    layer.lora_b.assign(b)
    wanted = pair.x.astype("float64") @ a @ b
    applied = outputs() - start
    # The documented error of an update is the rounding of what carries it: kernel,
    # inputs and outputs of relative 2^-9. The part of it along the update is 1.
    slope = (applied * wanted).sum() / (wanted**2).sum()
    assert abs(slope - 1) < 0.01
    noise = np.sqrt(np.mean((applied - wanted) ** 2))
    spacing = np.sqrt(np.mean(start**2)) * 2**-8
    assert noise < 3 * spacing


@pytest.mark.parametrize("size", [1e-2, 1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_float32_layers_in_a_bfloat16_model_apply_small_updates(
    oracle, formulation, size
):
    from kphotoz.layers import LoRADense

    rng = np.random.default_rng(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((64,))
        hidden = keras.layers.Rescaling(1.0)(inputs)
        layer = LoRADense(64, rank=4, dtype="float32", formulation=formulation, seed=0)
        model = keras.Model(inputs, layer(hidden))
    finally:
        keras.config.set_dtype_policy("float32")
    layer.base_kernel.assign(0.1 * rng.normal(size=(64, 64)))
    x = rng.normal(size=(128, 64)).astype("float32")
    start = oracle.numpy(model(x, training=True)).astype("float64")
    a, b = rng.normal(size=(64, 4)), size * rng.normal(size=(4, 64))
    layer.lora_a.assign(a)
    layer.lora_b.assign(b)
    applied = oracle.numpy(model(x, training=True)) - start
    seen = oracle.numpy(keras.ops.cast(keras.ops.cast(x, "bfloat16"), "float32"))
    wanted = seen.astype("float64") @ a @ b
    error = np.sqrt(np.mean((applied - wanted) ** 2) / np.mean(wanted**2))
    assert error < 0.01


def test_dropout_acts_on_the_branch_in_training_only_and_is_unbiased(oracle, case):
    pair = oracle.Pair(case, dropout=0.4, activation=None)
    layer = pair.lora
    # Without activation the layer is linear in what dropout keeps.
    np.testing.assert_allclose(
        layer(pair.x, training=False), pair.plain(pair.x), atol=2e-5
    )
    many = np.repeat(pair.x[:1], 4000, axis=0)
    noisy = oracle.numpy(layer(many, training=True))
    quiet = oracle.numpy(layer(pair.x[:1]))
    error = noisy.std(axis=0) / np.sqrt(len(many))
    assert error.max() > 0
    # 6 sigma on at most 100 outputs: false alarm below 1e-6, and the seed is fixed.
    assert (np.abs(noisy.mean(axis=0) - quiet[0]) <= 6 * error + 1e-5).all()
    layer.lora_b.assign(np.zeros(layer.lora_b.shape))
    # Zero B: nothing is left to drop from, so training changes nothing.
    np.testing.assert_allclose(
        layer(pair.x, training=True), layer(pair.x, training=False), atol=1e-5
    )


def test_keras_lora_and_quantization_are_refused_with_the_reason(oracle, case):
    layer = oracle.Pair(case).lora
    with pytest.raises(ValueError, match="already has factors"):
        layer.enable_lora(2)
    with pytest.raises(ValueError, match="cannot be quantized"):
        layer.quantize("int8")


def test_only_factors_and_magnitude_train_whatever_is_toggled(oracle, case):
    layer = oracle.Pair(case, dora=True, start="pissa", train_bias=False).lora
    layer.trainable = False
    assert layer.trainable_weights == []
    layer.trainable = True
    names = {v.name for v in layer.trainable_weights}
    assert names == {"lora_a", "lora_b", "lora_magnitude"}

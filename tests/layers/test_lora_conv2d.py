"""The oracle is a plain Conv2D that carries the explicit kernel K + alpha/rank A@B."""

import itertools

import keras
import numpy as np
import pytest

from kphotoz.layers import LoRAConv2D

GRID = [
    case
    for case in itertools.product(
        [1, (2, 1)], ["same", "valid"], [1, (1, 2)], [1, 2], ["last", "first"]
    )
    if case[0] == 1 or case[2] == 1
]
FEW = [GRID[0], (1, "same", (1, 2), 2, "first"), ((2, 1), "valid", 1, 2, "last")]


def _pair(case, **kwargs):
    strides, padding, dilation, groups, order = case
    common = dict(
        filters=6,
        kernel_size=(3, 2),
        strides=strides,
        padding=padding,
        dilation_rate=dilation,
        groups=groups,
        data_format=f"channels_{order}",
        activation="tanh",
        bias_initializer="normal",
    )
    lora = LoRAConv2D(**common, rank=2, alpha=3.0, **kwargs)
    plain = keras.layers.Conv2D(**common)
    rng = np.random.default_rng(0)
    shape = (2, 7, 9, 4) if order == "last" else (2, 4, 7, 9)
    x = rng.normal(size=shape).astype("float32")
    lora.build(shape)
    plain.build(shape)
    lora.lora_b.assign(rng.normal(size=lora.lora_b.shape))
    a, b = (keras.ops.convert_to_numpy(v) for v in (lora.lora_a, lora.lora_b))
    kernel = keras.ops.convert_to_numpy(lora.base_kernel)
    explicit = kernel + 1.5 * np.einsum("hwir,ro->hwio", a, b)
    plain.set_weights([explicit, keras.ops.convert_to_numpy(lora.bias)])
    return lora, plain, x


def _or_skip(plain, x):
    try:
        return plain(x)
    except Exception as error:
        # TensorFlow has no such kernel on CPUs that oneDNN does not serve.
        if plain.data_format == "channels_first" and "NHWC" in str(error):
            pytest.skip("TensorFlow has no channels_first convolution on this device")
        raise


@pytest.mark.parametrize("formulation", ["kernel", "two_branches"])
@pytest.mark.parametrize("case", FEW, ids=str)
def test_equals_convolution_with_explicit_kernel(case, formulation):
    lora, plain, x = _pair(case, formulation=formulation)
    wanted = _or_skip(plain, x)
    np.testing.assert_allclose(lora(x), wanted, atol=2e-5)


@pytest.mark.large
@pytest.mark.parametrize("formulation", ["kernel", "two_branches"])
@pytest.mark.parametrize("case", GRID, ids=str)
def test_equals_convolution_with_explicit_kernel_on_the_grid(case, formulation):
    lora, plain, x = _pair(case, formulation=formulation)
    wanted = _or_skip(plain, x)
    np.testing.assert_allclose(lora(x), wanted, atol=2e-5)


def test_strides_with_dilation_are_refused_as_keras_does():
    with pytest.raises(ValueError, match="dilation"):
        LoRAConv2D(4, 3, strides=2, dilation_rate=2)


def test_factor_shapes_follow_the_grouped_kernel():
    layer = LoRAConv2D(6, (3, 2), groups=2, rank=3)
    layer.build((None, 8, 9, 4))
    assert tuple(layer.lora_a.shape) == (3, 2, 2, 3)
    assert tuple(layer.lora_b.shape) == (3, 6)


def test_initial_a_has_pefts_bound():
    layer = LoRAConv2D(64, 5, rank=16, seed=1)
    layer.build((None, 8, 9, 10))
    bound = 1 / np.sqrt(5 * 5 * 10)
    largest = np.abs(keras.ops.convert_to_numpy(layer.lora_a)).max()
    # 4,000 uniform draws: the largest misses 0.99 of the bound once in 1e17.
    assert 0.99 * bound < largest <= bound

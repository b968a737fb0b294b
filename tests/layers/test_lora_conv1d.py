"""The oracle is a plain Conv1D that carries the explicit kernel K + alpha/rank A@B."""

import itertools

import keras
import numpy as np
import pytest

from kphotoz.layers import LoRAConv1D

JAX = keras.backend.backend() == "jax"
# Keras has no strides together with dilation; TensorFlow on a CPU has channels first
# in grouped convolutions only.
GRID = [
    case
    for case in itertools.product(
        [1, 2], ["same", "valid", "causal"], [1, 2], [1, 2], ["last", "first"]
    )
    if (case[0] == 1 or case[2] == 1) and (JAX or case[3] == 2 or case[4] == "last")
]
FEW = [
    (2, "same", 1, 1, "last"),
    (1, "causal", 2, 2, "first"),
    (2, "causal", 1, 1, "last"),
    (1, "valid", 2, 2, "last"),
]
FORMULATIONS = ["kernel", "factored", "two_branches"]


def _check(oracle, case, formulation):
    strides, padding, dilation, groups, order = case
    arguments = {
        "filters": 6,
        "kernel_size": 3,
        "strides": strides,
        "padding": padding,
        "dilation_rate": dilation,
        "groups": groups,
        "data_format": f"channels_{order}",
    }
    shape = (2, 11, 4) if order == "last" else (2, 4, 11)
    pair = oracle.Pair(oracle.Case("Conv1D", arguments, shape), formulation=formulation)
    got = pair.lora(pair.x, training=True)
    np.testing.assert_allclose(got, pair.plain(pair.x), atol=2e-5)


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("case", FEW, ids=str)
def test_equals_convolution_with_explicit_kernel(oracle, case, formulation):
    _check(oracle, case, formulation)


@pytest.mark.large
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("case", GRID, ids=str)
def test_equals_convolution_with_explicit_kernel_on_the_grid(oracle, case, formulation):
    _check(oracle, case, formulation)


def test_causal_outputs_never_see_the_future():
    layer = LoRAConv1D(3, 2, padding="causal", dilation_rate=3, rank=2, seed=0)
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype("float32")
    layer.build(x.shape)
    layer.lora_b.assign(np.ones((2, 3)))
    later = x.copy()
    later[:, 5:] += 1.0
    before, after = (np.array(layer(values)) for values in (x, later))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()


def test_strides_with_dilation_are_refused_as_keras_does():
    with pytest.raises(ValueError, match="dilation"):
        LoRAConv1D(4, 3, strides=2, dilation_rate=2)


def test_factor_shapes_follow_the_grouped_kernel():
    layer = LoRAConv1D(6, 5, groups=2, rank=3, kernel_initializer="zeros")
    layer.build((None, 8, 4))
    assert tuple(layer.lora_a.shape) == (5, 2, 3)
    assert tuple(layer.lora_b.shape) == (3, 6)


def test_rank_above_the_smaller_side_is_refused_at_build():
    with pytest.raises(ValueError, match="<= 6 for a .3, 4, 6. kernel.*7"):
        LoRAConv1D(6, 3, rank=7, kernel_initializer="zeros").build((None, 8, 4))

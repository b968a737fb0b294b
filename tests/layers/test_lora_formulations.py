"""Three formulations, one function: against the plain layer and the chain rule."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kphotoz import layers

FORMULATIONS = ["kernel", "factored", "two_branches"]
JAX = keras.backend.backend() == "jax"
# Each case compiles two convolutions and their gradients.
EXAMPLES = 4 if JAX else 6


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_outputs_and_gradients_are_those_of_the_explicit_kernel(
    oracle, case, formulation
):
    oracle.Pair(case, formulation=formulation).check()


def test_with_dora_the_norm_is_a_constant_of_the_backward_pass(oracle, case):
    oracle.Pair(case, formulation="factored", dora=True, start="pissa").check()


@pytest.mark.large
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("start", ["zero", "pissa"])
@pytest.mark.parametrize("dora", [True, False])
def test_every_start_in_every_formulation_equals_the_explicit_kernel(
    oracle, case, formulation, start, dora
):
    oracle.Pair(case, formulation=formulation, dora=dora, start=start).check()


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_eager_and_compiled_agree(oracle, formulation):
    pair = oracle.Pair(oracle.cases["query"], formulation=formulation, dora=True)
    pair.check(jit=False)
    pair.check(jit=True)


@st.composite
def convolutions(draw):
    axes = draw(st.sampled_from([1, 2]))
    sizes = [draw(st.integers(1, 3)) for _ in range(axes)]
    free = [[draw(st.integers(1, 2)) for _ in range(axes)] for _ in range(2)]
    # Keras has no strides together with dilation.
    strides, dilation = draw(st.sampled_from([(free[0], 1), (1, free[1])]))
    groups = draw(st.sampled_from([1, 2]))
    # TensorFlow on a CPU has channels first in grouped convolutions only.
    orders = ["last", "first"] if JAX or groups > 1 else ["last"]
    order = draw(st.sampled_from(orders))
    paddings = ["same", "valid"]
    if axes == 1:
        paddings.append("causal")
    arguments = {
        "filters": 4,
        "kernel_size": tuple(sizes),
        "strides": strides if strides == 1 else tuple(strides),
        "dilation_rate": dilation if dilation == 1 else tuple(dilation),
        "padding": draw(st.sampled_from(paddings)),
        "groups": groups,
        "data_format": f"channels_{order}",
        "use_bias": draw(st.booleans()),
    }
    places = (7, 6)[:axes]
    shape = (2, *places, 4) if order == "last" else (2, 4, *places)
    options = {
        "formulation": draw(st.sampled_from(FORMULATIONS)),
        "dora": draw(st.booleans()),
        "start": draw(st.sampled_from(["zero", "pissa"])),
        "rank": draw(st.integers(1, 2)),
    }
    return f"Conv{axes}D", arguments, shape, options


@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(drawn=convolutions())
def test_any_convolution_equals_the_explicit_kernel(oracle, drawn):
    kind, arguments, shape, options = drawn
    oracle.Pair(oracle.Case(kind, arguments, shape), **options).check()


@pytest.mark.large
@settings(derandomize=True, deadline=None, max_examples=100)
@given(drawn=convolutions())
def test_the_whole_grid_of_convolutions_equals_the_explicit_kernel(oracle, drawn):
    kind, arguments, shape, options = drawn
    oracle.Pair(oracle.Case(kind, arguments, shape), **options).check()


def built(layer, inputs):
    layer.build((None, *inputs))
    return layer


def test_by_default_a_convolution_has_the_form_with_fewer_multiplications():
    zeros = {"rank": 2, "kernel_initializer": "zeros"}
    small = built(layers.LoRAConv2D(8, 3, **zeros), (9, 9, 8))
    large = built(layers.LoRAConv2D(256, 3, **zeros), (9, 9, 256))
    # 72·8 against 2·32·(72 + 8): ten times; 2304·256 against 2·32·2560: a quarter.
    assert small.chosen(training=True) == "kernel"
    assert large.chosen(training=True) == "factored"
    assert large.chosen(training=False) == "kernel"


@pytest.mark.parametrize(
    ("inputs", "units", "dtype", "wanted"),
    [
        # inputs·units against 128·(inputs + units), then 128·inputs + 768·units.
        (192, 192, "float32", "kernel"),
        (192, 768, "float32", "factored"),
        (192, 768, "mixed_bfloat16", "kernel"),
        (768, 192, "mixed_bfloat16", "kernel"),
        (1024, 1024, "mixed_bfloat16", "factored"),
    ],
)
def test_by_default_a_product_has_the_form_with_the_cheaper_passes(
    inputs, units, dtype, wanted
):
    layer = layers.LoRADense(units, rank=2, kernel_initializer="zeros", dtype=dtype)
    assert built(layer, (inputs,)).chosen(training=True) == wanted
    einsum = layers.LoRAEinsumDense(
        "abc,cd->abd", (None, units), rank=2, kernel_initializer="zeros", dtype=dtype
    )
    assert built(einsum, (5, inputs)).chosen(training=True) == wanted


@pytest.mark.parametrize("kind", ["query", "output", "ellipsis", "turned"])
def test_an_einsum_in_training_gives_what_the_einsum_gives(oracle, kind):
    layer = oracle.Pair(oracle.cases[kind], formulation="kernel").lora
    x = np.random.default_rng(1).normal(size=oracle.cases[kind].shape)
    x = x.astype("float32")
    got, want = (oracle.numpy(layer(x, training=t)) for t in (True, False))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not JAX, reason="forward mode of JAX")
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_forward_mode_gives_the_tangent_of_the_explicit_kernel(oracle, formulation):
    import jax

    pair = oracle.Pair(oracle.cases["dense"], formulation=formulation)
    layer, x = pair.lora, pair.x

    def run(x):
        return layer(x, training=True)

    got = jax.jvp(run, (x,), (np.ones_like(x),))[1]
    wanted = (1 - oracle.numpy(run(x)) ** 2) * (np.ones(5) @ pair.explicit())
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.skipif(not JAX, reason="transformations of JAX")
@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_vmap_of_gradients_equals_the_gradient_of_each_example(oracle, formulation):
    import jax

    pair = oracle.Pair(oracle.cases["dense"], formulation=formulation)
    layer, x = pair.lora, pair.x
    kept = [v.value for v in layer.non_trainable_variables]
    values = [v.value for v in layer.trainable_variables]

    def loss(values, x):
        return layer.stateless_call(values, kept, x, training=True)[0].sum()

    each = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(values, x)
    for row in range(len(x)):
        pair.x = x[row]
        ones = np.ones((*x[row].shape[:-1], 6), "float32")
        wanted = pair.expected(ones)
        for variable, got in zip(layer.trainable_variables, each, strict=True):
            np.testing.assert_allclose(got[row], wanted[variable.name], atol=2e-5)

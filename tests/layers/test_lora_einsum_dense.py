"""The oracle is a plain EinsumDense that carries the explicit kernel."""

import numpy as np
import pytest

from kphotoz.layers import LoRAEinsumDense

FORMULATIONS = ["kernel", "factored", "two_branches"]
# (equation, output shape, bias axes, input shape, kernel axes contracted first, kept)
EQUATIONS = [
    ("abc,cde->abde", (None, 3, 4), "de", (2, 5, 6), (0, 1, 2), 2),
    ("abcd,cde->abe", (None, 5), "e", (2, 4, 3, 2), (0, 1, 2), 1),
    ("...x,xy->...y", (7,), "y", (2, 3, 4, 6), (0, 1), 1),
    ("...ab,cba->...c", (7,), None, (2, 5, 3, 4), (1, 2, 0), 1),
    ("ab,cb->ac", (7,), "c", (3, 6), (1, 0), 1),
    ("abc,dce->adbe", (3, None, 4), "e", (2, 5, 6), (1, 0, 2), 2),
]


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("case", EQUATIONS, ids=lambda case: case[0])
def test_equals_einsum_with_explicit_kernel(oracle, case, formulation):
    equation, output, bias, shape, order, kept = case
    arguments = {"equation": equation, "output_shape": output, "bias_axes": bias}
    pair = oracle.Pair(
        oracle.Case("EinsumDense", arguments, shape, order, kept),
        formulation=formulation,
    )
    got = pair.lora(pair.x, training=True)
    np.testing.assert_allclose(got, pair.plain(pair.x), atol=2e-5)
    # And numpy's einsum, which knows nothing of Keras.
    outputs = np.einsum(equation, pair.x, pair.explicit())
    if bias:
        outputs = outputs + oracle.numpy(pair.lora.bias)
    np.testing.assert_allclose(got, np.tanh(outputs), atol=2e-5)


def _layer(equation, output, rank, **kwargs):
    return LoRAEinsumDense(
        equation, output_shape=output, rank=rank, kernel_initializer="zeros", **kwargs
    )


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_query_of_an_attention_has_two_factors_over_all_heads(rank):
    layer = _layer("abc,cde->abde", (None, 6, 128), rank)
    layer.build((None, 10, 768))
    assert tuple(layer.lora_a.shape) == (768, rank)
    assert tuple(layer.lora_b.shape) == (rank, 6, 128)
    trained = sum(int(np.prod(v.shape)) for v in layer.trainable_weights)
    assert trained == 768 * rank + rank * 768


def test_output_of_an_attention_contracts_heads_and_their_size():
    layer = _layer("abcd,cde->abe", (None, 10), 3)
    layer.build((None, 5, 2, 4))
    assert tuple(layer.lora_a.shape) == (2, 4, 3)
    assert tuple(layer.lora_b.shape) == (3, 10)


@pytest.mark.parametrize(
    "equation,output,inputs",
    [("abc,bcd->abd", (4, 5), (4, 6)), ("abc,c->abc", (4, 6), (4, 6))],
)
def test_kernel_axis_in_input_and_output_is_refused(equation, output, inputs):
    layer = _layer(equation, output, 1)
    with pytest.raises(ValueError, match=f"Wanted.*Received: '{equation}'"):
        layer.build((None, *inputs))


def test_rank_above_the_smaller_side_is_refused_at_build():
    with pytest.raises(ValueError, match="<= 6 for a .6, 3, 4. kernel.*7"):
        _layer("abc,cde->abde", (None, 3, 4), 7).build((None, 5, 6))

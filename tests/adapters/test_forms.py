"""The oracle is einsum: factors as their own einsums, against the laid-out update."""

import keras
import numpy as np
import pytest

from kphotoz.layers._forms import form_of


@pytest.mark.parametrize(
    "equation,inputs,output,matrix,product",
    [
        ("abc,cde->abde", (4, 6), (None, 2, 3), (6, 6), "cr,rx->cx"),
        ("abcd,cde->abe", (4, 2, 3), (None, 5), (6, 5), "cr,rx->cx"),
        ("ab,cb->ac", (6,), (7,), (6, 7), "cr,rx->cx"),
    ],
)
def test_update_of_einsum_acts_as_its_factors(
    equation, inputs, output, matrix, product
):
    layer = keras.layers.EinsumDense(
        equation, output_shape=output, kernel_initializer="zeros"
    )
    layer.build((None, *inputs))
    form = form_of(layer)
    assert form.matrix == matrix
    assert form.parameters(2) == 2 * sum(matrix)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(matrix[0], 2)), rng.normal(size=(2, matrix[1]))
    x = rng.normal(size=(3, *inputs))
    update = keras.ops.convert_to_numpy(form.lay_out((a @ b).astype("float32")))
    got = np.einsum(equation, x, update)
    # The contracted axes are the last ones of x, the new ones the last of the output.
    rows = x.reshape(-1, matrix[0])
    np.testing.assert_allclose(got, (rows @ a @ b).reshape(got.shape), atol=1e-5)


def test_einsum_with_an_axis_in_all_three_has_no_form():
    layer = keras.layers.EinsumDense(
        "abc,bcd->abd", output_shape=(4, 5), kernel_initializer="zeros"
    )
    layer.build((None, 4, 6))
    assert form_of(layer) is None


def test_query_of_a_vision_transformer_has_the_published_count():
    layer = keras.layers.EinsumDense(
        "abc,cde->abde", output_shape=(None, 6, 128), kernel_initializer="zeros"
    )
    layer.build((None, 10, 768))
    assert form_of(layer).parameters(4) == 768 * 4 + 4 * 768


@pytest.mark.parametrize(
    "layer,shape,count",
    [
        (
            keras.layers.Conv1D(6, 3, kernel_initializer="zeros"),
            (None, 9, 4),
            2 * (3 * 4 + 6),
        ),
        (
            keras.layers.Conv3D(6, 2, kernel_initializer="zeros"),
            (None, 5, 5, 5, 3),
            2 * (8 * 3 + 6),
        ),
        (
            keras.layers.Conv2D(6, 3, groups=2, kernel_initializer="zeros"),
            (None, 9, 9, 4),
            2 * (9 * 2 + 6),
        ),
    ],
)
def test_counts_of_convolutions(layer, shape, count):
    layer.build(shape)
    assert form_of(layer).parameters(2) == count

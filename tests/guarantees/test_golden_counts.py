"""Published parameter counts; zeros for values, since only shapes are counted."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.layers import LoRADense


def _linears(x, units, activation="silu"):
    for number, size in enumerate(units):
        x = keras.layers.Dense(
            size, activation, kernel_initializer="zeros", name=f"head_{number}"
        )(x)
    return x


@pytest.fixture(scope="module")
def resnet18():
    """ResNet-18 for five bands with the regressor 512, 256, 1."""
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(64, 64, 5),
    )
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, _linears(x, (512, 256, 1)))


def test_resnet18_with_regressor_has_the_published_size(resnet18):
    trained = sum(int(np.prod(v.shape)) for v in resnet18.trainable_weights)
    assert trained == 11_577_025


@pytest.mark.parametrize("rank,count", [(2, 76_140), (4, 152_280)])
def test_rank_counts_of_resnet18_are_the_published_ones(resnet18, rank, count):
    choices = adapters.plan(resnet18, rank, allow_full_rank=True)
    assert sum(c.parameters for c in choices if not c.skipped) == count
    assert len(choices) == 23


def test_adapted_resnet18_has_the_published_count(resnet18):
    model = adapters.apply(resnet18, 4, allow_full_rank=True)
    assert adapters.count(model) == 152_280
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trained == 152_280


@pytest.mark.parametrize("inputs,count", [(768, 31_752), (1462, 37_304)])
def test_counts_of_the_stellar_networks(inputs, count):
    x = keras.Input((inputs,))
    base = keras.Model(x, _linears(x, (1024, 512, 64, 1)))
    choices = adapters.plan(base, 8, allow_full_rank=True)
    assert sum(c.parameters for c in choices) == count


def _trained(layer):
    return sum(int(np.prod(v.shape)) for v in layer.trainable_weights)


def _dense(inputs, units, rank):
    layer = LoRADense(
        units, rank=rank, allow_full_rank=True, kernel_initializer="zeros"
    )
    layer.build((None, inputs))
    return layer


def test_bare_layers_of_the_embedding_network_have_the_published_count():
    sizes = [768, 1024, 512, 64, 1]
    layers = [_dense(a, b, 8) for a, b in zip(sizes, sizes[1:], strict=False)]
    assert sum(map(_trained, layers)) == 31_752


def test_bare_layers_of_the_spectrum_transformer_have_the_published_count():
    # Six blocks of width 768: query, keys with values in one, and the output.
    block = [_dense(768, units, 4) for units in (768, 2 * 768, 768)]
    assert 6 * sum(map(_trained, block)) == 129_024


def test_projection_head_of_the_stellar_network_has_the_published_count():
    # Attention output 768 -> 768 and an MLP 768 -> 3072 -> 768, rank 16.
    sizes = ((768, 768), (768, 3072), (3072, 768))
    assert sum(_trained(_dense(a, b, 16)) for a, b in sizes) == 147_456

"""The ResNet-18 trunk of the LoRA paper as part of a flat graph."""

from typing import Any

import keras

__all__ = ["resnet18_trunk"]

# keras_hub's name of the first convolution -> ours, which regimes look for.
_NAMES = {"conv1_conv": "stem_conv", "input_conv1_conv": "stem_conv"}


def resnet18_trunk(settings: dict[str, Any], images: Any) -> Any:
    """Returns image features `(batch, 512)` of a randomly initialised ResNet-18.

    The layers of keras_hub's backbone are copied one by one onto `images`, so that the
    result is a flat graph of plain Keras layers: no nested model hides them from
    adapters, and loading the model needs no keras_hub.

    Args:
        settings: dict; unused, for the same signature as other trunks.
        images: KerasTensor `(batch, height, width, band)`, stretched.

    Source: He et al. 2016, arXiv 1512.03385, table 1.
    """
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[2, 2, 2, 2],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        use_pre_activation=False,
        image_shape=tuple(images.shape[1:]),
    )
    tensors = {id(backbone.input): images}
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        config = layer.get_config()
        config["name"] = _NAMES.get(layer.name, layer.name)
        copy = type(layer).from_config(config)
        inputs = layer.input
        many = isinstance(inputs, (list, tuple))
        inputs = [tensors[id(t)] for t in inputs] if many else tensors[id(inputs)]
        tensors[id(layer.output)] = copy(inputs)
    trunk = tensors[id(backbone.output)]
    return keras.layers.GlobalAveragePooling2D(name="image_pool")(trunk)

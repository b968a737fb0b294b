"""The image trunk of the small network: fast on a CPU."""

from typing import Any

import keras

__all__ = ["small_cnn_trunk"]


def small_cnn_trunk(settings: dict[str, Any], images: Any) -> Any:
    """Returns image features `(batch, image_units)` of stretched images.

    A strided 5x5 stem, then 3x3 convolutions each followed by pooling, flattened into
    one dense layer. Beside a photometry branch that layer starts at zero, so that the
    whole begins as the photometry network. With `batch_norm` each convolution is
    normalised before its activation; by default nothing is, which trains faster here.

    Args:
        settings: dict with `filters`, `image_units`, `image_dropout`, `batch_norm` and
            `branch`.
        images: KerasTensor `(batch, height, width, band)`, stretched.
    """
    outputs = images
    for number, filters in enumerate(settings["filters"]):
        stem = number == 0
        place = "stem" if stem else f"block{number}"
        outputs = keras.layers.Conv2D(
            filters,
            5 if stem else 3,
            strides=2 if stem else 1,
            padding="same",
            activation=None if settings["batch_norm"] else "relu",
            use_bias=not settings["batch_norm"],
            kernel_initializer="he_normal",
            name=f"{place}_conv",
        )(outputs)
        if settings["batch_norm"]:
            # The momentum of torch's default, as in the ResNet.
            outputs = keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, name=f"{place}_norm"
            )(outputs)
            outputs = keras.layers.ReLU(name=f"{place}_relu")(outputs)
        if not stem:
            outputs = keras.layers.AveragePooling2D(
                2, padding="same", name=f"{place}_pool"
            )(outputs)
    outputs = keras.layers.Flatten(name="image_flatten")(outputs)
    if settings["image_dropout"]:
        outputs = keras.layers.Dropout(settings["image_dropout"], name="image_dropout")(
            outputs
        )
    both = settings["branch"] == "both"
    return keras.layers.Dense(
        settings["image_units"],
        activation="silu",
        kernel_initializer="zeros" if both else "he_normal",
        name="image_dense",
    )(outputs)

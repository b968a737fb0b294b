"""Random rotations by quarter turns and reflections, example by example."""

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["RandomDihedral"]


@keras.saving.register_keras_serializable(package="kphotoz")
class RandomDihedral(keras.layers.Layer):
    """Turns and mirrors each training image by one of the 8 symmetries of a square.

    Each example draws its own symmetry, all equally likely; pixel values are only
    moved, never interpolated. Outside of training the images pass unchanged.

    Args:
        seed: int or None. Start of the random draws. [default: None, a random seed]

    Input and output shape: `(batch, side, side, band)`. An image with unequal sides is
    only mirrored and turned by half (4 symmetries).
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        height, width, bands = inputs.shape[1:]
        count = ops.shape(inputs)[0]
        coins = keras.random.uniform((3, count, 1, 1, 1), seed=self.seed_generator)
        sides = ops.cast(ops.reshape(coins, (3, count)) < 0.5, "int32")
        symmetry = sides[0] + 2 * sides[1] + 4 * sides[2]
        # One gather of pixels: flips and selections cost six times as much.
        order = ops.take(_pixel_orders(height, width), symmetry, axis=0)
        order += height * width * ops.expand_dims(ops.arange(count), 1)
        pixels = ops.take(ops.reshape(inputs, (-1, bands)), order, axis=0)
        return ops.reshape(pixels, (-1, height, width, bands))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def _pixel_orders(height: int, width: int) -> np.ndarray:
    """Returns the pixels in the order of each symmetry, (8, height * width) int32.

    Bits of the symmetry's number say: rows reversed, columns reversed, and then, of a
    square, rows and columns exchanged.
    """
    orders = []
    for symmetry in range(8):
        pixels = np.arange(height * width, dtype="int32").reshape(height, width)
        pixels = pixels[::-1] if symmetry & 1 else pixels
        pixels = pixels[:, ::-1] if symmetry & 2 else pixels
        pixels = pixels.T if symmetry & 4 and height == width else pixels
        orders.append(pixels.ravel())
    return np.stack(orders)

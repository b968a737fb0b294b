"""Random rotations by quarter turns and reflections, example by example."""

from typing import Any

import keras
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
        shape = (3, ops.shape(inputs)[0], 1, 1, 1)
        coins = keras.random.uniform(shape, seed=self.seed_generator) < 0.5
        outputs = ops.where(coins[0], ops.flip(inputs, axis=1), inputs)
        outputs = ops.where(coins[1], ops.flip(outputs, axis=2), outputs)
        if inputs.shape[1] == inputs.shape[2]:
            swapped = ops.transpose(outputs, (0, 2, 1, 3))
            outputs = ops.where(coins[2], swapped, outputs)
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

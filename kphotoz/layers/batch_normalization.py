"""Batch normalisation that keeps to a declared policy during fine-tuning."""

from typing import Any

import keras
from keras import ops

__all__ = ["BATCH_NORM_POLICIES", "BatchNormalization"]

BATCH_NORM_POLICIES = ("freeze", "adapt_statistics", "train")


@keras.saving.register_keras_serializable(package="kphotoz")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with a policy that outlives reloads.

    In Keras ``trainable = False`` freezes gamma and beta and also stops the
    statistics, and ``gamma.trainable = False`` is forgotten by cloning, reloading and
    toggling. Here the policy is an argument:

    | policy | gamma and beta | statistics in training |
    |---|---|---|
    | "freeze" | fixed | fixed, and they normalise (inference mode) |
    | "adapt_statistics" | fixed | move; the batch's own normalise |
    | "train" | train | move; the batch's own normalise |

    ``trainable = False`` still stops everything; ``trainable = True`` gives back what
    the policy allows and no more.

    Args:
        policy: "freeze", "adapt_statistics" or "train". [default: "train"]
        **kwargs: the arguments of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: the policy is none of the three.

    Source: "adapt_statistics" is what `model.train()` does to frozen layers in PyTorch,
    so in the code of Seenivasan et al. 2026, arXiv 2601.00146.
    """

    def __init__(self, *args: Any, policy: str = "train", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if policy not in BATCH_NORM_POLICIES:
            raise ValueError(
                f"Wanted: policy one of {BATCH_NORM_POLICIES}. Received: {policy!r}."
            )
        self.policy = policy
        self.folded = False  # the layer before does this one's work

    def add_weight(
        self, *args: Any, trainable: bool = True, **kwargs: Any
    ) -> keras.Variable:
        """Adds a weight that trains only under the policy "train"."""
        trainable = trainable and self.policy == "train"
        return super().add_weight(*args, trainable=trainable, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if self.folded:
            return inputs
        training = training and self.policy != "freeze"
        return super().call(inputs, training=training, mask=mask)

    def affine(self) -> tuple:
        """Returns scale and shift, (channels,) float32, that inference applies."""
        scale = ops.rsqrt(self.moving_variance + self.epsilon)
        scale = scale if self.gamma is None else scale * self.gamma
        shift = -self.moving_mean * scale
        return scale, shift if self.beta is None else shift + self.beta

    def get_config(self) -> dict:
        return super().get_config() | {"policy": self.policy}

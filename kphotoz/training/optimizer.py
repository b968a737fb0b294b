"""The optimiser of a training run: decoupled weight decay, warm-up and cosine decay."""

from typing import Any

import keras
import numpy as np

from kphotoz.training.settings import Training

__all__ = ["AveragedAdamW", "build"]


class AveragedAdamW(keras.optimizers.AdamW):
    """AdamW that keeps a moving average of the weights beside them.

    Keras' own optimisers replace the weights by their average at the end of every
    `fit`, which would disturb a run of several calls, and on JAX leave both in one
    buffer, which the next step cannot donate twice. Here the weights stay, and
    `write_average` puts the average into them when asked.
    """

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Leaves the weights as they are."""

    def write_average(self, variables: list[Any]) -> None:
        """Overwrites `variables` with copies of their averages."""
        super().finalize_variable_values(variables)
        for variable in variables:
            variable.assign(np.array(keras.ops.convert_to_numpy(variable.value)))


def build(settings: Training, steps: int) -> AveragedAdamW:
    """Returns an optimiser whose rate follows the whole run.

    Args:
        settings: Training. Rate, warm-up fraction, decay, clipping.
        steps: int. Gradient steps of the whole run.
    """
    warmup = int(settings.warmup * steps)
    # A rate of zero at the first step would leave that step without effect.
    start = settings.learning_rate / (warmup + 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=start if warmup else settings.learning_rate,
        decay_steps=max(1, steps - warmup),
        alpha=0.01,  # our choice: the last steps still move
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = AveragedAdamW(
        learning_rate=schedule,
        weight_decay=settings.weight_decay,
        clipnorm=settings.clip_norm,
        use_ema=settings.ema is not None,
        ema_momentum=settings.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer

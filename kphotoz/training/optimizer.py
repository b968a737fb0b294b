"""The optimisers of a training run, both of which can average weights beside them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz import backend
from kphotoz.training.schedule import rate_of
from kphotoz.training.settings import Training

__all__ = ["AveragedAdamL2", "AveragedAdamW", "build"]


class _Averaged(keras.optimizers.Optimizer):
    """Averages weights beside them, and clips on many devices as on one.

    Keras' own optimisers replace the weights by their average at the end of every
    `fit`, which would disturb a run of several calls, and on JAX leave both in one
    buffer, which the next step cannot donate twice. Here the weights stay, and
    `write_average` puts the average into them when asked.

    On several devices of TensorFlow Keras clips the gradient of each device's share and
    adds them up. Here they are added up first.
    """

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        """Moves the variables by the gradients of the whole batch."""
        super().apply(backend.sum_over_replicas(grads), trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # TensorFlow's, done in `apply`

    def _clip_by_norm(self, values: Any, axes: Any = None) -> Any:
        """Returns a gradient of at most the length `clipnorm`, in three operations."""
        norm = ops.sqrt(ops.sum(ops.square(values), axes, keepdims=True))
        return values * (self.clipnorm / ops.maximum(norm, self.clipnorm))

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        """Moves the averages; the first step's weights are what they start from."""
        if not self.use_ema:
            return
        pairs = zip(
            trainable_variables, self._model_variables_moving_average, strict=True
        )
        share = ops.where(self.iterations > 0, 1 - self.ema_momentum, 1.0)
        for variable, average in pairs:
            if average is not None:
                change = (variable - average) * ops.cast(share, average.dtype)
                average.assign(average + change)

    def finalize_variable_values(self, var_list: list[Any]) -> None:
        """Leaves the weights as they are."""

    def write_average(self, variables: list[Any]) -> None:
        """Overwrites `variables` with copies of their averages."""
        for variable in variables:
            number = self._get_variable_index(variable)
            average = self._model_variables_moving_average[number]
            variable.assign(np.array(keras.ops.convert_to_numpy(average.value)))


class AveragedAdamW(_Averaged, keras.optimizers.AdamW):
    """AdamW, whose decay stands apart from the gradient, with averaged weights.

    The step is that of `keras.optimizers.AdamW` up to rounding, in fewer operations:
    the rate is computed once, not for every weight that decays, and TensorFlow moves a
    weight and its moments by one operation. Of a small network they were a third of
    what is traced before the first step.
    """

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        # By Keras' names: on several devices it would go by those of TensorFlow, which
        # have the layer's name in them.
        variables = [each for each in variables if self._use_weight_decay(each)]
        if backend.replicas() > 1:
            super()._apply_weight_decay(variables)
            return
        decay = ops.convert_to_tensor(self.learning_rate) * self.weight_decay
        for variable in variables:
            self.assign_sub(variable, variable * ops.cast(decay, variable.dtype))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable and its two moments."""
        if backend.name() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        number = self._get_variable_index(variable)
        backend.adam_step(
            variable,
            gradient,
            (self._momentums[number], self._velocities[number]),
            rate=learning_rate,
            step=self.iterations + 1,
            betas=(self.beta_1, self.beta_2),
            epsilon=self.epsilon,
        )


class AveragedAdamL2(_Averaged, keras.optimizers.Adam):
    """Adam whose decay is part of the gradient, with averaged weights.

    With the clipped gradient g of the loss, a step t = 1, 2, ... is

        g <- g + l2 w
        m <- beta_1 m + (1 - beta_1) g,    v <- beta_2 v + (1 - beta_2) g^2
        w <- w - rate m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    so the decay is normalised with the gradient: a weight that the loss leaves alone
    shrinks by the whole rate a step. Keras' `Adam(weight_decay=)` decays apart from
    the gradient instead, and its epsilon enters before the correction of v.

    Args:
        l2: float >= 0. Decay, for every variable.
        epsilon: float > 0. [default: 1e-8]
        **kwargs: arguments of `keras.optimizers.Adam`.

    Source: torch's `Adam(weight_decay=)` and its default epsilon.
    """

    def __init__(self, *args: Any, l2: float, epsilon: float = 1e-8, **kwargs: Any):
        super().__init__(*args, epsilon=epsilon, **kwargs)
        self.l2 = l2

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable and its two moments."""
        kind = variable.dtype
        number = self._get_variable_index(variable)
        first, second = self._momentums[number], self._velocities[number]
        step = ops.cast(self.iterations + 1, kind)
        beta_1, beta_2 = ops.cast(self.beta_1, kind), ops.cast(self.beta_2, kind)
        gradient = ops.cast(gradient, kind) + self.l2 * variable
        self.assign(first, beta_1 * first + (1 - beta_1) * gradient)
        self.assign(second, beta_2 * second + (1 - beta_2) * ops.square(gradient))
        mean = first / (1 - ops.power(beta_1, step))
        spread = ops.sqrt(second / (1 - ops.power(beta_2, step)))
        change = ops.cast(learning_rate, kind) * mean / (spread + self.epsilon)
        self.assign_sub(variable, change)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"l2": self.l2}


def build(settings: Training, steps: int) -> AveragedAdamW | AveragedAdamL2:
    """Returns an optimiser whose rate follows the whole run.

    Args:
        settings: Training. Kind, rate, schedule, decay, clipping, averaging.
        steps: int. Gradient steps of the whole run.
    """
    clip = "clipnorm" if settings.clip_scope == "variable" else "global_clipnorm"
    arguments: dict[str, Any] = {
        "learning_rate": rate_of(settings, steps),
        clip: settings.clip_norm,
        "use_ema": settings.ema is not None,
        "ema_momentum": settings.ema or 0.99,
    }
    if settings.optimizer == "adam_l2":
        return AveragedAdamL2(l2=settings.weight_decay, **arguments)
    optimizer = AveragedAdamW(weight_decay=settings.weight_decay, **arguments)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer

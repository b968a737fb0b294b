"""A dense layer with a frozen kernel and a trainable low-rank update."""

from typing import Any

import keras
from keras import ops

from kphotoz.layers._lora import LoRAMixin

__all__ = ["LoRADense"]


@keras.saving.register_keras_serializable(package="kphotoz")
class LoRADense(LoRAMixin, keras.layers.Dense):
    """Dense layer with a frozen kernel and a trainable low-rank update.

    The output is ``x @ (K + alpha / rank * A @ B) + bias``; only `A` and `B` train.

    Args:
        units: int. Size of the output.
        activation: as in `keras.layers.Dense`. [default: none]
        rank: int, 1 to min(inputs, units). Width of the update. [default: 4]
        alpha: float > 0. Scale numerator. [default: rank]
        dropout: float in [0, 1). Rate on the input of the update's branch, in training
            only; needs the two-branch form. [default: 0]
        a_initializer: initializer of `A`; `B` starts at zero. [default: uniform with
            bound 1 / sqrt(fan_in)]
        train_bias: bool. Whether the bias trains. [default: False]
        formulation: "kernel", or "two_branches", which adds ``(x @ A) @ B``. [default:
            two branches when dropout > 0]
        allow_full_rank: bool. Accept rank up to max(inputs, units), where the update is
            no smaller than the kernel; published counts need it. [default: False]
        origin: dict or None. What `kphotoz.adapters.apply` recorded of the base.
        seed: int or None. Of the default initializer and of dropout.
        **kwargs: the other arguments of `keras.layers.Dense`. A `kernel_regularizer`
            applies to the update, and a `kernel_constraint` is refused.

    Call arguments:
        inputs: tensor (..., inputs).

    Returns:
        tensor (..., units).

    Source: Hu et al. 2021, arXiv 2106.09685, section 4.1.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        rank: int = 4,
        alpha: float | None = None,
        dropout: float = 0.0,
        a_initializer: Any = None,
        train_bias: bool = False,
        formulation: str | None = None,
        allow_full_rank: bool = False,
        origin: dict | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation=activation, **kwargs)
        self._configure(
            rank,
            alpha,
            dropout,
            a_initializer,
            train_bias,
            formulation,
            allow_full_rank,
            origin,
            seed,
        )

    def call(self, inputs, training=None):
        self._regularize()
        if not self._branches(training):
            return super().call(inputs)
        kernel, a, b = (
            ops.cast(x, self.compute_dtype)
            for x in (self.base_kernel, self.lora_a, self.lora_b)
        )
        thin = ops.matmul(self._drop(inputs, training), a)
        outputs = ops.matmul(inputs, kernel) + self.scale * ops.matmul(thin, b)
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

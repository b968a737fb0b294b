"""A dense layer with a frozen kernel and a trainable low-rank update."""

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
        formulation: "kernel", "factored" or "two_branches", see `kphotoz.layers`. All
            are equal up to rounding. [default: two branches when dropout > 0, else the
            one whose backward pass costs less]
        allow_full_rank: bool. Accept rank up to max(inputs, units), where the update is
            no smaller than the kernel; published counts need it. [default: False]
        dora: bool. Train the norm of each column of the kernel apart from its direction
            (DoRA). [default: False]
        start: "zero", B is zero; or "pissa", A @ B is the principal part of the kernel,
            and what it was at the start is taken off the sum. [default: "zero"]
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

    def _apply(self, inputs, kernel):
        return ops.matmul(inputs, kernel)

    def _thin(self, inputs, a):
        return ops.matmul(inputs, a)

    def _wide(self, thin, b):
        return ops.matmul(thin, b)

    def _laid_out(self, values):
        return values

    def _times(self, outputs, values):
        return outputs * values

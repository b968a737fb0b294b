"""A 1-D convolution with a frozen kernel and a trainable low-rank update."""

import keras
from keras import ops

from kphotoz.layers._lora_conv import LoRAConvMixin

__all__ = ["LoRAConv1D"]


@keras.saving.register_keras_serializable(package="kphotoz")
class LoRAConv1D(LoRAConvMixin, keras.layers.Conv1D):
    """Conv1D layer with a frozen kernel and a trainable low-rank update.

    The output is ``conv(x, K + alpha / rank * A @ B) + bias``; only `A`, of shape
    ``(kernel_size, channels / groups, rank)``, and `B`, ``(rank, filters)``, train.
    Strides, padding, dilation, groups and the data format act on the summed kernel.

    Args:
        filters: int. Number of output channels.
        kernel_size: int.
        strides: int. [default: 1]
        padding: "valid", "same" or "causal". [default: "valid"]
        rank: int, 1 to min(fan-in, filters), fan-in being kernel size × channels /
            groups. Width of the update. [default: 4]
        alpha: float > 0. Scale numerator. [default: rank]
        dropout: float in [0, 1). Rate on the input of the update's branch, in training
            only; needs the two-branch form. [default: 0]
        a_initializer: initializer of `A`; `B` starts at zero. [default: uniform with
            bound 1 / sqrt(fan_in)]
        train_bias: bool. Whether the bias trains. [default: False]
        formulation: "kernel", "factored" or "two_branches", see `kphotoz.layers`. All
            are equal up to rounding. [default: two branches when dropout > 0, else the
            one whose backward pass costs less]
        allow_full_rank: bool. Accept rank up to max(fan-in, filters). [default: False]
        dora: bool. Train the norm of each filter apart from its direction (DoRA).
            [default: False]
        start: "zero", B is zero; or "pissa", A @ B is the principal part of the kernel,
            and what it was at the start is taken off the sum. [default: "zero"]
        origin: dict or None. What `kphotoz.adapters.apply` recorded of the base.
        seed: int or None. Of the default initializer and of dropout.
        **kwargs: the other arguments of `keras.layers.Conv1D`. A `kernel_regularizer`
            applies to the update, and a `kernel_constraint` is refused.

    Call arguments:
        inputs: tensor (batch, steps, channels), or (batch, channels, steps) with
            ``data_format="channels_first"``.

    Returns:
        tensor (batch, new steps, filters), or channels first.

    Source: Hu et al. 2021, arXiv 2106.09685; convolutions as in PEFT, in kernel space.
    """

    def _apply(self, inputs, kernel):
        padding = self.padding
        if padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            steps = 1 if self.data_format == "channels_last" else 2
            widths = [(before, 0) if axis == steps else (0, 0) for axis in range(3)]
            inputs, padding = ops.pad(inputs, widths), "valid"
        return ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

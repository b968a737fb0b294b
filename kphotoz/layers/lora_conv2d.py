"""A 2-D convolution with a frozen kernel and a trainable low-rank update."""

import keras

from kphotoz.layers._lora_conv import LoRAConvMixin

__all__ = ["LoRAConv2D"]


@keras.saving.register_keras_serializable(package="kphotoz")
class LoRAConv2D(LoRAConvMixin, keras.layers.Conv2D):
    """Conv2D layer with a frozen kernel and a trainable low-rank update.

    The output is ``conv(x, K + alpha / rank * A @ B) + bias``; only `A`, of shape
    ``kernel_size + (channels / groups, rank)``, and `B`, ``(rank, filters)``, train.
    Strides, padding, dilation, groups and the data format act on the summed kernel.

    Args:
        filters: int. Number of output channels.
        kernel_size: int or pair of ints.
        strides: int or pair of ints. [default: 1]
        padding: "valid" or "same". [default: "valid"]
        rank: int, 1 to min(fan-in, filters), fan-in being the kernel's height × width ×
            channels / groups. Width of the update. [default: 4]
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
        **kwargs: the other arguments of `keras.layers.Conv2D`. A `kernel_regularizer`
            applies to the update, and a `kernel_constraint` is refused.

    Call arguments:
        inputs: tensor (batch, height, width, channels), or (batch, channels, height,
            width) with ``data_format="channels_first"``.

    Returns:
        tensor (batch, new height, new width, filters), or channels first.

    Source: Hu et al. 2021, arXiv 2106.09685; convolutions as in PEFT, in kernel space.
    """

"""A 2-D convolution with a frozen kernel and a trainable low-rank update."""

from typing import Any

import keras
from keras import ops

from kphotoz.layers._lora import LoRAMixin

__all__ = ["LoRAConv2D"]


@keras.saving.register_keras_serializable(package="kphotoz")
class LoRAConv2D(LoRAMixin, keras.layers.Conv2D):
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
        formulation: "kernel", or "two_branches", a thin convolution with `A` followed
            by a 1×1 convolution with `B`. [default: two branches when dropout > 0]
        allow_full_rank: bool. Accept rank up to max(fan-in, filters). [default: False]
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

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
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
        super().__init__(filters, kernel_size, strides, padding, **kwargs)
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
        kernel = ops.cast(self.base_kernel, self.compute_dtype)
        outputs = self.convolution_op(inputs, kernel)
        outputs = outputs + self.scale * self._thin(self._drop(inputs, training))
        if self.bias is not None:
            last = self.data_format == "channels_last"
            shape = (1, 1, 1, -1) if last else (1, -1, 1, 1)
            outputs = outputs + ops.reshape(self.bias, shape)
        return outputs if self.activation is None else self.activation(outputs)

    def _thin(self, inputs):
        # Every group sees the same A: its copies stand side by side, and the 1×1
        # convolution with B is grouped likewise.
        a = ops.tile(ops.cast(self.lora_a, self.compute_dtype), (1, 1, 1, self.groups))
        b = ops.cast(self.lora_b, self.compute_dtype)
        return ops.conv(
            self.convolution_op(inputs, a),
            ops.reshape(b, (1, 1, self.adapter_rank, self.filters)),
            padding="valid",
            data_format=self.data_format,
        )

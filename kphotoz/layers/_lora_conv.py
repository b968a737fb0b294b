"""What LoRA convolutions share, whatever their number of spatial axes."""

from keras import ops

from kphotoz.layers._lora import LoRAMixin
from kphotoz.layers._lora_arguments import cheapest_convolution


class LoRAConvMixin(LoRAMixin):
    """The thin convolution with A and the 1×1 convolution with B."""

    def _apply(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)

    def _cheapest(self, inputs, outputs):
        return cheapest_convolution(inputs, outputs, self.adapter_rank * self.groups)

    def _thin(self, inputs, a):
        # Every group sees the same A: its copies stand side by side.
        if self.groups > 1:
            a = ops.tile(a, (1,) * (len(a.shape) - 1) + (self.groups,))
        return self._apply(inputs, a)

    def _wide(self, thin, b):
        ones = (1,) * len(self.kernel_size)
        return ops.conv(
            thin,
            ops.reshape(b, (*ones, self.adapter_rank, self.filters)),
            padding="valid",
            data_format=self.data_format,
        )

    def _times(self, outputs, values):
        return outputs * self._laid_out(values)

    def _laid_out(self, values):
        ones = (1,) * len(self.kernel_size)
        last = self.data_format == "channels_last"
        return ops.reshape(values, (1, *ones, -1) if last else (1, -1, *ones))

"""What LoRA convolutions share, whatever their number of spatial axes."""

from keras import ops

from kphotoz.layers._lora import LoRAMixin


class LoRAConvMixin(LoRAMixin):
    """The thin convolution with A and the 1×1 convolution with B."""

    def _apply(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)

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

    def _wide_gradients(self, upstream, thin, b):
        rank, groups = self.adapter_rank, self.groups
        shape = ops.shape(self._last(thin))
        rows = ops.reshape(self._last(thin), (-1, groups, rank))
        width = self.filters // groups
        columns = ops.reshape(self._last(upstream), (-1, groups, width))
        parts = ops.reshape(b, (rank, groups, width))
        if groups == 1:
            columns = columns[:, 0]
            of_thin = ops.matmul(columns, ops.transpose(b))
            of_b = ops.matmul(ops.transpose(rows[:, 0]), columns)
        else:
            of_thin = ops.einsum("ngo,rgo->ngr", columns, parts)
            of_b = ops.einsum("ngr,ngo->rgo", rows, columns)
        of_thin = ops.reshape(of_thin, shape)
        if self.data_format == "channels_first":
            of_thin = ops.moveaxis(of_thin, -1, 1)
        return of_thin, ops.reshape(of_b, (rank, self.filters))

    def _last(self, values):
        if self.data_format == "channels_first":
            return ops.moveaxis(values, 1, -1)
        return values

    def _laid_out_bias(self):
        return self._along_channels(self.bias)

    def _times(self, outputs, values):
        return outputs * self._along_channels(values)

    def _along_channels(self, values):
        ones = (1,) * len(self.kernel_size)
        last = self.data_format == "channels_last"
        return ops.reshape(values, (1, *ones, -1) if last else (1, -1, *ones))

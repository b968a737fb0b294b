"""An einsum layer with a frozen kernel and a trainable low-rank update."""

import string
from typing import Any

import keras
from keras import ops

from kphotoz.layers._lora import LoRAMixin

__all__ = ["LoRAEinsumDense"]


@keras.saving.register_keras_serializable(package="kphotoz")
class LoRAEinsumDense(LoRAMixin, keras.layers.EinsumDense):
    """EinsumDense layer with a frozen kernel and a trainable low-rank update.

    The kernel is read as a matrix of its contracted axes by its kept ones: `A` is
    ``contracted + (rank,)`` and `B` ``(rank,) + kept``, in the order in which the
    kernel has them. So the query of an attention with 6 heads of 128 from 768 channels
    has ``768 * rank + rank * 768`` parameters.

    Args:
        equation: str. As in `keras.layers.EinsumDense`; an axis of the kernel is either
            contracted or kept.
        output_shape: int or tuple.
        rank: int, 1 to min(inputs, outputs). Width of the update. [default: 4]
        alpha: float > 0. Scale numerator. [default: rank]
        dropout: float in [0, 1). Rate on the input of the update's branch, in training
            only; needs the two-branch form. [default: 0]
        a_initializer: initializer of `A`; `B` starts at zero. [default: uniform with
            bound 1 / sqrt(fan_in)]
        train_bias: bool. Whether the bias trains. [default: False]
        formulation: "kernel", "factored" or "two_branches", see `kphotoz.layers`. All
            are equal up to rounding. [default: two branches when dropout > 0, else the
            one whose backward pass costs less]
        allow_full_rank: bool. Accept rank up to max(inputs, outputs). [default: False]
        dora: bool. Train the norm of each output apart from its direction (DoRA).
            [default: False]
        start: "zero", B is zero; or "pissa", A @ B is the principal part of the kernel,
            and what it was at the start is taken off the sum. [default: "zero"]
        origin: dict or None. What `kphotoz.adapters.apply` recorded of the base.
        seed: int or None. Of the default initializer and of dropout.
        **kwargs: the other arguments of `keras.layers.EinsumDense`. A
            `kernel_regularizer` applies to the update, and a `kernel_constraint` is
            refused.

    Call arguments:
        inputs: tensor, as the equation says.

    Returns:
        tensor, as the equation says.

    Source: Hu et al. 2021, arXiv 2106.09685, section 4.1.
    """

    def _apply(self, inputs, kernel):
        return ops.einsum(self.equation, inputs, kernel)

    def _step(self, inputs, kernel):
        # One product of two matrices: an einsum of TensorFlow makes one for each
        # example, and a kernel gradient for each of them.
        labels = self._labels(len(inputs.shape))
        free = len(labels["t"]) - 1
        given, kept = labels["t"][:-1] + labels["a"][:-1], labels["t"][:-1]
        if labels["x"] != given or labels["y"] != kept + labels["kept"]:
            return self._apply(inputs, kernel)
        matrix = self.form.matrix_of(kernel)
        flat = ops.matmul(ops.reshape(inputs, (-1, matrix.shape[0])), matrix)
        sizes = *ops.shape(inputs)[:free], *self.lora_b.shape[1:]
        return ops.reshape(flat, sizes)

    def _thin(self, inputs, a):
        labels = self._labels(len(inputs.shape))
        return ops.einsum("{x},{a}->{t}".format(**labels), inputs, a)

    def _wide(self, thin, b):
        labels = self._labels(self._input_axes(thin))
        return ops.einsum("{t},{b}->{y}".format(**labels), thin, b)

    def _laid_out(self, values):
        return values

    def _times(self, outputs, values):
        kept = self.lora_b.shape[1:]
        labels = self._labels(len(outputs.shape) - len(kept) + self._contracted)
        values = ops.reshape(values, kept)
        return ops.einsum("{y},{kept}->{y}".format(**labels), outputs, values)

    def _input_axes(self, thin: Any) -> int:
        return len(thin.shape) - 1 + self._contracted

    @property
    def _contracted(self) -> int:
        return len(self.lora_a.shape) - 1

    def _labels(self, axes: int) -> dict[str, str]:
        """Returns the axes of input x, A, thin t, B and output y as letters.

        Args:
            axes: int. Number of the input's axes, which an ellipsis stands for.
        """
        equation = self.equation.replace(" ", "")
        free = (c for c in string.ascii_letters if c not in equation)
        rank = next(free)
        names, output = equation.split("->")
        inputs, kernel = names.split(",")
        more = axes - len(inputs.replace("...", ""))
        batch = "".join(next(free) for _ in range(more))
        inputs, output = (text.replace("...", batch) for text in (inputs, output))
        form = self.form
        ordered = [kernel[axis] for axis in form.order]
        contracted = "".join(ordered[: -form.outputs])
        kept = "".join(ordered[-form.outputs :])
        thin = "".join(c for c in inputs if c not in contracted)
        return {
            "x": inputs,
            "a": contracted + rank,
            "t": thin + rank,
            "b": rank + kept,
            "kept": kept,
            "y": output,
        }

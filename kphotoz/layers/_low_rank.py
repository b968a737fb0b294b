"""A low-rank update of one kernel: its factors, its start, its norm.

Source: Hu et al. 2021, arXiv 2106.09685, section 4.1; DoRA: Liu et al. 2024, arXiv
2402.09353, equation 5; PiSSA: Meng et al. 2024, arXiv 2404.02948.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kphotoz.layers._lora_arguments import Start, principal_factors

if TYPE_CHECKING:  # what it is mixed into; it is no layer by itself
    from keras import Layer as _Layer
else:
    _Layer = object


class LowRank(_Layer):
    """The update ``alpha / rank * A @ B`` of the kernel of a Keras layer.

    Whoever mixes it in is a layer with `form`, `base_kernel`, `adapter_rank`, `alpha`,
    `start` and `dora`, and calls `build_factors` once the kernel is there.
    """

    base_kernel: keras.Variable
    adapter_rank: int
    alpha: float
    start: Start
    dora: bool

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.adapter_rank

    def build_factors(self, initializer: Any) -> None:
        """Adds the weights of the update: A, B, and what start and DoRA need.

        Args:
            initializer: of A; B starts at zero.
        """
        shape_a, shape_b = self.form.factor_shapes(self.adapter_rank)
        self.lora_a = self._factor("lora_a", shape_a, initializer)
        self.lora_b = self._factor("lora_b", shape_b)
        if self.start == "pissa":
            self.lora_a_start = self._factor("lora_a_start", shape_a, trainable=False)
            self.lora_b_start = self._factor("lora_b_start", shape_b, trainable=False)
        if self.dora:
            self.lora_magnitude = self._factor("lora_magnitude", self.form.matrix[1:])
        self.restart()

    def _factor(self, name, shape, initializer="zeros", trainable=True):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            autocast=False,
        )

    def restart(self) -> None:
        """Sets the start that depends on the kernel; call it after changing that.

        With ``start="pissa"`` A @ B begins as the best approximation of the kernel of
        their rank, and the same constant product is taken off the sum.
        """
        if self.start != "pissa":
            return
        matrix = ops.convert_to_numpy(self.form.matrix_of(self.base_kernel))
        matrix = np.asarray(matrix, "float64")
        a, b = principal_factors(matrix, self.adapter_rank, self.scale)
        for variable, value in (
            (self.lora_a, a),
            (self.lora_a_start, a),
            (self.lora_b, b),
            (self.lora_b_start, b),
        ):
            variable.assign(value.reshape(variable.shape).astype("float32"))

    def adapter_variables(self) -> dict[str, keras.Variable]:
        """Returns what adapting added, by name."""
        names = ["lora_a", "lora_b"]
        names += ["lora_a_start", "lora_b_start"] if self.start == "pissa" else []
        names += ["lora_magnitude"] if self.dora else []
        return {name: getattr(self, name) for name in names}

    def update(self):
        """Returns what is added to the kernel, in float32, of the kernel's shape.

        ``alpha / rank * A @ B``; with ``start="pissa"`` less what that was at the
        start, with DoRA plus the difference that rescaling makes.
        """
        added = self.added()
        if not self.dora:
            return added
        form = self.form
        summed = form.matrix_of(ops.add(self.base_kernel, added))
        ratio = ops.expand_dims(self.ratio(self.base_kernel, added), 0)
        return form.lay_out(summed * ratio) - self.base_kernel

    def added(self):
        """Returns the update before any rescaling, of the kernel's shape."""
        product = _product(self.lora_a, self.lora_b)
        if self.start == "pissa":
            product = product - self.start_product()
        return self.form.lay_out(self.scale * product)

    def start_product(self):
        """Returns A @ B as it was at the start of PiSSA, (inputs, outputs)."""
        return _product(self.lora_a_start, self.lora_b_start)

    def ratio(self, kernel, added):
        """Returns magnitude over norm, (outputs,), exactly 1 at the start.

        The magnitude is kept as its difference from the norm of the frozen kernel, so
        that both norms come from one operation. As in the paper the norm of the sum is
        a constant of the backward pass.

        Args:
            kernel: the frozen kernel.
            added: what `added` returns.
        """
        frozen = _norm(self.form.matrix_of(kernel))
        summed = _norm(self.form.matrix_of(ops.add(kernel, added)))
        return (frozen + self.lora_magnitude) / ops.stop_gradient(summed)


def _product(a, b):
    rank = b.shape[0]
    return ops.matmul(ops.reshape(a, (-1, rank)), ops.reshape(b, (rank, -1)))


def _norm(matrix):
    # The smallest addend keeps the ratio of two empty columns at 1.
    return ops.sqrt(ops.sum(ops.square(matrix), axis=0) + 1e-30)

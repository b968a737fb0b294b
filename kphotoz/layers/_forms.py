"""How a low-rank update is laid out in the kernel of each kind of layer.

A kernel is read as a matrix (inputs, outputs); the update is A (inputs, rank) times
B (rank, outputs), laid out like the kernel. Inputs of a convolution are its window
times the channels of a group, inputs of an einsum are the contracted axes.
"""

import dataclasses
import math

import keras
from keras import ops

__all__ = [
    *("Form", "form_of", "form_of_kernel", "is_depthwise", "is_linear"),
    "quantization_of",
]

_CONVS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@dataclasses.dataclass(frozen=True)
class Form:
    """The matrix reading of one kernel.

    Args:
        shape: shape of the kernel.
        order: kernel axes, inputs first, then outputs.
        outputs: how many of `order` are outputs.
        groups: number of separate matrices; above 1 for depthwise layers only.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    outputs: int = 1
    groups: int = 1

    @property
    def matrix(self) -> tuple[int, int]:
        """(inputs, outputs) of the whole kernel."""
        sizes = [self.shape[axis] for axis in self.order]
        return math.prod(sizes[: -self.outputs]), math.prod(sizes[-self.outputs :])

    @property
    def size(self) -> int:
        """Number of entries of the kernel."""
        return math.prod(self.shape)

    def parameters(self, rank: int) -> int:
        """Returns the number of entries of A and B.

        In a depthwise layer each channel has its own small kernel, so each would need
        its own pair of factors.
        """
        inputs, outputs = self.matrix
        return rank * (inputs * self.groups + outputs)

    def factor_shapes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns the shapes of A, (*inputs, rank), and of B, (rank, *outputs)."""
        sizes = [self.shape[axis] for axis in self.order]
        inputs, outputs = sizes[: -self.outputs], sizes[-self.outputs :]
        return (*inputs, rank), (rank, *outputs)

    def lay_out(self, product):
        """Returns A @ B, a matrix of `self.matrix`, in the shape of the kernel."""
        sizes = [self.shape[axis] for axis in self.order]
        product = ops.reshape(product, sizes)
        if self.order == tuple(range(len(self.order))):
            return product
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return ops.transpose(product, inverse)

    def matrix_of(self, kernel):
        """Returns a kernel as a matrix of `self.matrix`: `lay_out` backwards."""
        return ops.reshape(ops.transpose(kernel, self.order), self.matrix)


def form_of(layer: keras.Layer) -> Form | None:
    """Returns how to read the kernel of a convolution or linear layer, else None.

    None also for a quantized kernel, whatever its dtype, and for an einsum whose kernel
    shares an axis with both input and output.
    """
    if not is_linear(layer) or not layer.built or quantization_of(layer):
        return None
    if not isinstance(layer.kernel, keras.Variable):
        return None
    return form_of_kernel(layer, tuple(layer.kernel.shape))


def is_linear(layer: keras.Layer) -> bool:
    """Returns whether the layer is a convolution or linear layer of Keras."""
    kinds = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVS, *_DEPTHWISE)
    return isinstance(layer, kinds)


def quantization_of(layer: keras.Layer) -> str | None:
    """Returns how a layer is quantized, as Keras names it, None where it is not.

    In float8 a layer keeps its kernel, but calls compute with rounded copies of it, and
    int4 and GPTQ have no kernel that anything could be added to.
    """
    return layer.quantization_mode


def form_of_kernel(layer: keras.Layer, shape: tuple[int, ...]) -> Form | None:
    """Returns how a layer of these kinds reads a kernel of the given shape."""
    axes = tuple(range(len(shape)))
    if isinstance(layer, keras.layers.EinsumDense):
        return _einsum_form(layer.equation, shape)
    if isinstance(layer, _DEPTHWISE):
        # (window, channels, multiplier): as many matrices window -> multiplier.
        window = axes[:-2]
        return Form(shape, (*window, *axes[-2:]), outputs=2, groups=shape[-2])
    if isinstance(layer, _CONVS) and layer.groups > 1 and shape[-2] == 1:
        return Form(shape, axes, groups=layer.groups)
    return Form(shape, axes)


def is_depthwise(layer: keras.Layer) -> bool:
    """Returns whether the layer is of Keras' depthwise classes."""
    return isinstance(layer, _DEPTHWISE)


def _einsum_form(equation: str, shape: tuple[int, ...]) -> Form | None:
    left, output = equation.replace(" ", "").replace("...", "").split("->")
    inputs, kernel = left.split(",")
    contracted = [i for i, x in enumerate(kernel) if x in inputs and x not in output]
    kept = [i for i, x in enumerate(kernel) if x in output and x not in inputs]
    if not contracted or not kept or len(contracted) + len(kept) != len(shape):
        return None
    return Form(shape, (*contracted, *kept), outputs=len(kept))

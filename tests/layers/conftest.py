"""LoRA layers beside the plain layer that carries their kernel explicitly.

The kernel and the gradients of the factors are formed in numpy: the gradient of the
plain layer's kernel, and from it by the chain rule those of A, B and the magnitude.
"""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from kphotoz import layers

RANK, ALPHA = 2, 3.0


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of layer, its arguments, and how its kernel is read as a matrix.

    `order` are the kernel axes, contracted ones first; `kept` of them are outputs.
    """

    kind: str
    arguments: dict
    shape: tuple
    order: tuple = ()
    kept: int = 1


CASES = {
    "dense": Case("Dense", {"units": 6}, (3, 4, 5)),
    "conv1d": Case(
        "Conv1D",
        {"filters": 6, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        (2, 9, 4),
    ),
    "conv2d": Case(
        "Conv2D",
        {"filters": 6, "kernel_size": (3, 2), "padding": "same", "strides": 2},
        (2, 7, 8, 4),
    ),
    "grouped": Case(
        "Conv2D",
        {
            "filters": 6,
            "kernel_size": (2, 3),
            "groups": 2,
            "dilation_rate": (2, 1),
            "data_format": "channels_first",
        },
        (2, 4, 7, 8),
    ),
    "query": Case(
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (None, 3, 4), "bias_axes": "de"},
        (2, 5, 6),
        kept=2,
    ),
    "output": Case(
        "EinsumDense",
        {"equation": "abcd,cde->abe", "output_shape": (None, 7), "bias_axes": "e"},
        (2, 5, 3, 2),
    ),
    "ellipsis": Case(
        "EinsumDense",
        {"equation": "...de,dec->...c", "output_shape": (5,), "bias_axes": "c"},
        (2, 5, 3, 2),
    ),
    "turned": Case(
        "EinsumDense",
        {"equation": "abc,dc->abd", "output_shape": (None, 7), "bias_axes": "d"},
        (2, 5, 6),
        order=(1, 0),
    ),
}


def numpy(value):
    return np.array(ops.convert_to_numpy(value))


class Pair:
    """A LoRA layer away from its start, and the plain layer of the same function."""

    def __init__(self, case, seed=0, moved=True, **options):
        self.case, rng = case, np.random.default_rng(seed)
        common = {"activation": "tanh"} | case.arguments
        if "activation" in options:
            common["activation"] = options.pop("activation")
        own = {"rank": RANK, "alpha": ALPHA, "seed": 1, "train_bias": True} | options
        policy = own.pop("dtype", "float32")
        zeros = {"kernel_initializer": "zeros", "dtype": policy}
        self.lora = getattr(layers, f"LoRA{case.kind}")(**common, **zeros, **own)
        self.plain = getattr(keras.layers, case.kind)(**common, **zeros)
        self.x = rng.normal(size=case.shape).astype("float32")
        self.lora.build(case.shape)
        self.plain.build(case.shape)
        kernel = rng.normal(size=self.lora.base_kernel.shape)
        self.lora.base_kernel.assign(kernel)
        self.plain.kernel.assign(kernel)
        if self.lora.bias is not None:
            bias = rng.normal(size=self.lora.bias.shape)
            self.lora.bias.assign(bias)
            self.plain.bias.assign(bias)
        self.lora.restart()
        if moved:
            self.move(rng)

    def move(self, rng, size=0.3):
        for variable in self.factors.values():
            if not variable.path.endswith("_start"):
                noise = size * rng.normal(size=variable.shape)
                variable.assign(numpy(variable) + noise)
        self.plain.kernel.assign(self.explicit())

    @property
    def factors(self):
        return self.lora.adapter_variables()

    def matrix(self, kernel):
        order = self.case.order or tuple(range(kernel.ndim))
        sizes = [kernel.shape[axis] for axis in order]
        outputs = int(np.prod(sizes[-self.case.kept :]))
        return np.transpose(kernel, order).reshape(-1, outputs)

    def laid_out(self, matrix):
        shape = self.lora.base_kernel.shape
        order = self.case.order or tuple(range(len(shape)))
        return matrix.reshape([shape[i] for i in order]).transpose(np.argsort(order))

    def parts(self):
        """Returns (K, V, A, B, scale) as float64 matrices; V is before rescaling."""
        kernel = self.matrix(numpy(self.lora.base_kernel).astype("float64"))
        found = {k: numpy(v).astype("float64") for k, v in self.factors.items()}
        rank = self.lora.adapter_rank
        scale = self.lora.alpha / rank

        def product(suffix):
            a, b = found[f"lora_a{suffix}"], found[f"lora_b{suffix}"]
            return a.reshape(-1, rank) @ b.reshape(rank, -1)

        summed = kernel + scale * product("")
        if "lora_a_start" in found:
            summed = summed - scale * product("_start")
        a = found["lora_a"].reshape(-1, rank)
        return kernel, summed, a, found["lora_b"].reshape(rank, -1), scale

    def explicit(self):
        """Returns the kernel the LoRA layer stands for, of DoRA as in its paper."""
        kernel, summed, *_ = self.parts()
        if "lora_magnitude" in self.factors:
            delta = numpy(self.factors["lora_magnitude"]).astype("float64")
            magnitude = np.linalg.norm(kernel, axis=0) + delta
            summed = magnitude * summed / np.linalg.norm(summed, axis=0)
        return self.laid_out(summed)

    def expected(self, weights, jit=True):
        """Returns outputs and gradients from the plain layer and the chain rule."""
        found = differentiate(self.plain, self.x, weights, jit)
        kernel, summed, a, b, scale = self.parts()
        gradient = self.matrix(found.pop("kernel").astype("float64"))
        if "lora_magnitude" in self.factors:
            norm = np.linalg.norm(summed, axis=0)
            delta = numpy(self.factors["lora_magnitude"]).astype("float64")
            ratio = (np.linalg.norm(kernel, axis=0) + delta) / norm
            found["lora_magnitude"] = (gradient * summed / norm).sum(axis=0)
            gradient = gradient * ratio
        found["lora_a"] = scale * gradient @ b.T
        found["lora_b"] = scale * a.T @ gradient
        return found

    def weights(self, seed=3):
        """Returns the gradient that the loss has in the outputs."""
        shape = self.plain(self.x).shape
        return np.random.default_rng(seed).normal(size=shape).astype("float32")

    def check(self, tolerance=2e-5, jit=True):
        """Asserts equal outputs and gradients, relative to the largest of each."""
        weights = self.weights()
        got = differentiate(self.lora, self.x, weights, jit)
        wanted = self.expected(weights)
        assert got.keys() == wanted.keys()
        for name, value in wanted.items():
            close = tolerance * np.abs(value).max()
            np.testing.assert_allclose(
                got[name].reshape(value.shape), value, atol=close, err_msg=name
            )


def differentiate(layer, x, weights, jit=True):
    """Returns outputs, and gradients of sum(outputs * weights) by name of variable."""
    names = [variable.name for variable in layer.trainable_variables]
    run = _tensorflow if keras.backend.backend() == "tensorflow" else _jax
    # Only LoRA layers ask whether they train.
    options = {"training": True} if hasattr(layer, "adapter_rank") else {}
    outputs, of_inputs, gradients = run(layer, x, weights, jit, options)
    found = {"outputs": outputs, "inputs": of_inputs}
    found |= dict(zip(names, gradients, strict=True))
    return {name: numpy(value) for name, value in found.items()}


def _tensorflow(layer, x, weights, jit, options):
    import tensorflow as tf

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, **options)
            loss = tf.reduce_sum(ops.cast(outputs, "float32") * weights)
        values = [variable.value for variable in layer.trainable_variables]
        of_inputs, *gradients = tape.gradient(loss, [x, *values])
        return outputs, of_inputs, gradients

    return (tf.function(run) if jit else run)(tf.convert_to_tensor(x))


def _jax(layer, x, weights, jit, options):
    import jax

    kept = [variable.value for variable in layer.non_trainable_variables]

    def loss(values, x):
        outputs, _ = layer.stateless_call(values, kept, x, **options)
        return ops.sum(ops.cast(outputs, "float32") * weights), outputs

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    values = [variable.value for variable in layer.trainable_variables]
    (_, outputs), (gradients, of_inputs) = (jax.jit(run) if jit else run)(values, x)
    return outputs, of_inputs, gradients


class Oracle:
    """What the tests of LoRA layers share."""

    Case, Pair = Case, Pair
    cases = CASES
    differentiate = staticmethod(differentiate)
    numpy = staticmethod(numpy)


@pytest.fixture(scope="session")
def oracle():
    return Oracle


@pytest.fixture(scope="session", params=list(CASES))
def case(request):
    """Each kind of layer: grouped and dilated convolutions and einsums included."""
    return CASES[request.param]

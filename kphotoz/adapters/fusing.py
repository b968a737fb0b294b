"""Activations, frozen layer normalisations and stretches in one pass, to be faster.

Most of a transformer's step on a processor are passes over activations, not products:
TensorFlow runs an exact GELU and its gradient as sixteen operations, each of which
reads and writes the whole tensor (docs/results/lora_step.md). Its arcsinh takes one
number at a time, which was half of what a small network takes to predict.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from kphotoz import backend
from kphotoz.adapters import paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.layers import BandStretch

__all__ = ["fuse_training", "is_stretch"]


def fuse_training(model: keras.Model) -> list[str]:
    """Runs activations, frozen normalisations and stretches in one pass each, in place.

    For faster training steps and predictions on TensorFlow without a GPU; elsewhere it
    does nothing, because XLA compiles the whole step. Outputs and gradients are equal
    to 1e-5 in float32, and in bfloat16 to its rounding. No weight changes and nothing
    of it is saved: a reloaded model is as it was. Functions that were compiled are
    dropped.

    Args:
        model: built model, adapted or not. Joined are exact GELU and SiLU wherever they
            are the `activation` of a layer, with the frozen bias of an adapted one; and
            `keras.layers.LayerNormalization` while none of its weights trains.

    Returns:
        the paths of these layers.
    """
    if not backend.joins_passes():
        return []
    fused = {each: _joined(function) for each, function in _ACTIVATIONS.items()}
    done = []
    base = model.base if isinstance(model, AdaptedModel) else model
    for path, layer in paths.walk(base).items():
        activation = getattr(layer, "activation", None)
        if callable(activation) and activation in fused:
            layer.call = _with_activation(layer, fused[activation])
        elif type(layer) is keras.layers.LayerNormalization and not layer.rms_scaling:
            layer.call = _normalisation(layer)
        elif is_stretch(layer):
            layer.call = _stretch(layer)
        else:
            continue
        done.append(path)
    model.train_function = model.test_function = model.predict_function = None
    return done


def _gelu(x: Any) -> Any:
    # TensorFlow's has erfc, which XLA computes in two ways to choose from.
    return x * (0.5 + 0.5 * ops.erf(x * math.sqrt(0.5)))


_ACTIVATIONS = {keras.activations.gelu: _gelu, keras.activations.silu: ops.silu}


def _joined(activation: Callable) -> Callable:
    def biased(inputs: Any, *bias: Any) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        outputs = ops.cast(inputs, dtype)
        for each in bias:
            outputs = outputs + ops.cast(each, dtype)
        return ops.cast(activation(outputs), inputs.dtype)

    fused = backend.in_one_pass(biased)
    # What LoRA layers ask. Functions take attributes, which their hints do not know.
    fused.adds_bias = True  # type: ignore[attr-defined]
    return fused


def _with_activation(layer: keras.Layer, fused: Callable) -> Callable:
    own = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        with _exchanged(layer, fused):
            return own(*args, **kwargs)

    return call


@contextlib.contextmanager
def _exchanged(layer: keras.Layer, activation: Callable) -> Iterator[None]:
    # Only while it runs, so that its configuration stays its own.
    old, layer.activation = layer.activation, activation
    try:
        yield
    finally:
        layer.activation = old


def is_stretch(layer: keras.Layer) -> bool:
    """Returns whether a layer is a stretch that `fuse_training` has in one pass."""
    return type(layer) is BandStretch and layer.stretch == "asinh"


def _stretch(layer: BandStretch) -> Callable:
    fused = backend.in_one_pass(layer.call)

    def call(inputs: Any) -> Any:
        return fused(inputs)

    return call


def _normalisation(layer: keras.layers.LayerNormalization) -> Callable:
    own = layer.call
    names = [x for x in ("gamma", "beta") if getattr(layer, x) is not None]

    def normalised(inputs: Any, *weights: Any) -> Any:
        given = dict(zip(names, weights, strict=True))
        outputs = ops.layer_normalization(
            inputs, axis=layer.axis, epsilon=layer.epsilon, **given
        )
        return ops.cast(outputs, layer.compute_dtype)

    fused = backend.in_one_pass(normalised)

    def call(inputs: Any) -> Any:
        if layer.trainable_variables:
            return own(inputs)
        return fused(inputs, *(getattr(layer, name) for name in names))

    return call

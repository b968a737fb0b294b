"""The Dense layer that a network ends in, and networks with another one."""

from typing import Any

import keras
import numpy as np

from kphotoz.errors import InputError

__all__ = ["activation_of", "last_dense", "last_linear", "with_head"]


def last_dense(model: keras.Model) -> keras.layers.Dense:
    """Returns the Dense layer that a graph ends in, whatever its activation.

    Raises:
        InputError: it ends in something else, or in a Dense layer with an adapter.
    """
    layer = getattr(model.outputs[0], "_keras_history", [None])[0]
    if len(model.outputs) != 1 or not isinstance(layer, keras.layers.Dense):
        raise InputError(
            "Wanted: a model that ends in one Dense layer. Received: "
            f"{len(model.outputs)} outputs, the first of {_named(layer)}. Name the "
            "layer whose features are to be used."
        )
    if not isinstance(layer.kernel, keras.Variable):
        raise InputError(
            "Wanted: a last layer with a kernel of its own, to be replaced. Received: "
            f"{_named(layer)}, whose kernel is a sum with an adapter. Take "
            "kphotoz.adapters.merge(model)."
        )
    return layer


def last_linear(model: keras.Model) -> keras.layers.Dense:
    """Returns the Dense layer without activation that a graph ends in.

    Raises:
        InputError: it ends in something else.
    """
    layer = last_dense(model)
    if activation_of(layer) != "linear":
        raise InputError(
            "Wanted: a last layer without activation, which least squares can refit. "
            f"Received: {_named(layer)} with {activation_of(layer)}. Name the layer "
            "whose features are to be used, or use KernelLogisticRegression."
        )
    return layer


def activation_of(layer: keras.layers.Dense) -> str:
    """Returns the name of a layer's activation, "linear" for none."""
    if layer.activation in (None, keras.activations.linear):
        return "linear"
    return getattr(layer.activation, "__name__", type(layer.activation).__name__)


def with_head(model: keras.Model, coefficients: np.ndarray) -> keras.Model:
    """Returns a copy of a graph, uncompiled, with another kernel and bias at its end.

    Args:
        model: keras.Model that `last_dense` takes.
        coefficients: float array (features + 1, outputs), the bias last.
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    head = last_dense(copy)
    dtype = head.kernel.dtype
    head.kernel.assign(keras.ops.convert_to_tensor(coefficients[:-1], dtype))
    if head.use_bias:
        head.bias.assign(keras.ops.convert_to_tensor(coefficients[-1], dtype))
    return copy


def _named(layer: Any) -> str:
    return f"{type(layer).__name__} {getattr(layer, 'name', '')!r}"

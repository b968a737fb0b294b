"""What a network's hidden layers say about its inputs, as rows of numbers."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.paths import is_graph
from kphotoz.errors import InputError, unknown

__all__ = ["Features", "batches", "check_again", "last_linear"]


class Features:
    """Outputs of one layer as the model predicts: no dropout, fixed normalisations.

    Args:
        model: keras.Model. A graph, Functional or Sequential.
        layer: str or None. Whose outputs. [default: what the last layer reads]
        batch_size: int. Rows at a time. [default: 256]

    Raises:
        InputError: no layer of that name, or a model that is no graph.
    """

    def __init__(
        self, model: keras.Model, layer: str | None = None, batch_size: int = 256
    ) -> None:
        if isinstance(model, AdaptedModel):
            raise InputError(
                "Wanted: a model of plain layers. Received: the adapted model "
                f"{model.name!r}. Take kphotoz.adapters.merge(model)."
            )
        if not is_graph(model):
            raise InputError(
                "Wanted: a Functional or Sequential model, whose layers can be read. "
                f"Received: {type(model).__name__} {model.name!r}. Build it from "
                "keras.Input to its outputs."
            )
        if layer is None:
            tensor, self.layer = last_linear(model).input, "the last layer's input"
        else:
            names = [each.name for each in model.layers]
            if layer not in names:
                raise unknown("layer", layer, names)
            tensor, self.layer = model.get_layer(layer).output, f"layer {layer!r}"
        self._below = keras.Model(model.input, tensor)
        self.width, self.batch_size = math.prod(tensor.shape[1:]), batch_size

    def blocks(self, inputs: Any) -> Iterator[np.ndarray]:
        """Yields the features of successive rows, float64 (n, width).

        Args:
            inputs: array (n, ...), a dict of such by name of input, or batches of
                either.

        Raises:
            InputError: a feature that is not finite, or inputs of different lengths.
        """
        start = 0
        for batch in batches(inputs, self.batch_size):
            found = np.asarray(self._below.predict_on_batch(batch), np.float64)
            yield self._checked(found.reshape(len(found), -1), start)
            start += len(found)

    def sliced(self, features: np.ndarray) -> Iterator[np.ndarray]:
        """Yields features that are known already as `blocks` would.

        Args:
            features: float array (n, width).

        Raises:
            InputError: a feature that is not finite.
        """
        for start in range(0, len(features), self.batch_size):
            found = np.asarray(features[start : start + self.batch_size], np.float64)
            yield self._checked(found, start)

    def _checked(self, found: np.ndarray, start: int) -> np.ndarray:
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise InputError(
                f"Wanted: finite features of {self.layer}. Received: NaN or infinity "
                f"in row {start + bad[0]}. Leave such rows out, or check the model."
            )
        return found


def check_again(inputs: Any) -> None:
    """Checks that inputs can be read more than once.

    Raises:
        InputError: they are an iterator.
    """
    if isinstance(inputs, Iterator):
        raise InputError(
            "Wanted: inputs that can be read again, for the second pass. Received: "
            f"{type(inputs).__name__}, which ends after one. Give an array, a list "
            "or an object that starts anew when it is iterated over."
        )


def batches(inputs: Any, size: int) -> Iterator[Any]:
    """Yields batches as a model takes them, arrays or dicts of them by name.

    Args:
        inputs: array (n, ...), a dict of such, or batches of either of any length.
        size: int. The most rows of a batch.

    Raises:
        InputError: inputs of different lengths.
    """
    if not (isinstance(inputs, dict) or hasattr(inputs, "__getitem__")):
        for batch in inputs:
            whole = batch if isinstance(batch, dict) else np.asarray(batch)
            yield from batches(whole, size)
        return
    arrays = inputs.values() if isinstance(inputs, dict) else [inputs]
    rows = {len(array) for array in arrays}
    if len(rows) != 1:
        raise InputError(
            f"Wanted: inputs of equal length. Received: lengths {sorted(rows)}. "
            "Give one row of each for every example."
        )
    for start in range(0, rows.pop(), size):
        part = slice(start, start + size)
        if isinstance(inputs, dict):
            yield {name: np.asarray(x[part]) for name, x in inputs.items()}
        else:
            yield np.asarray(inputs[part])


def last_linear(model: keras.Model) -> keras.layers.Dense:
    """Returns the Dense layer without activation that a model ends in.

    Raises:
        InputError: it ends in something else.
    """
    layer = getattr(model.outputs[0], "_keras_history", [None])[0]
    if len(model.outputs) != 1 or not isinstance(layer, keras.layers.Dense):
        raise InputError(
            "Wanted: a model that ends in one Dense layer. Received: "
            f"{len(model.outputs)} outputs, the first of {_named(layer)}. Name the "
            "layer whose features are to be used."
        )
    if layer.activation not in (None, keras.activations.linear):
        raise InputError(
            "Wanted: a last layer without activation, which least squares can refit. "
            f"Received: {_named(layer)} with {layer.activation.__name__}."
        )
    if not isinstance(layer.kernel, keras.Variable):
        raise InputError(
            "Wanted: a last layer with a kernel of its own, to be replaced. Received: "
            f"{_named(layer)}, whose kernel is a sum with an adapter. Take "
            "kphotoz.adapters.merge(model)."
        )
    return layer


def _named(layer: Any) -> str:
    return f"{type(layer).__name__} {getattr(layer, 'name', '')!r}"

"""What a network's hidden layers say about its inputs, as rows of numbers."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.paths import is_graph
from kphotoz.errors import InputError, unknown
from kphotoz.kernels.head import last_dense

__all__ = ["Features", "batches", "check_again", "with_constant"]


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
            tensor, self.layer = last_dense(model).input, "the last layer's input"
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
            features = np.asarray(self._below.predict_on_batch(batch), np.float64)
            yield self._checked(features.reshape(len(features), -1), start)
            start += len(features)

    def sliced(self, features: np.ndarray) -> Iterator[np.ndarray]:
        """Yields features that are known already as `blocks` would.

        Args:
            features: float array (n, width).

        Raises:
            InputError: a feature that is not finite.
        """
        for start in range(0, len(features), self.batch_size):
            block = np.asarray(features[start : start + self.batch_size], np.float64)
            yield self._checked(block, start)

    def _checked(self, features: np.ndarray, start: int) -> np.ndarray:
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise InputError(
                f"Wanted: finite features of {self.layer}. Received: NaN or infinity "
                f"in row {start + bad[0]}. Leave such rows out, or check the model."
            )
        return features


def with_constant(
    blocks: Iterable[np.ndarray], constant: float
) -> Iterator[np.ndarray]:
    """Yields blocks (n, width + 1), whose last column is the constant.

    Args:
        blocks: float arrays (n, width).
        constant: float. 1, or 0 for a layer without bias: the column stays, and a
            solution of least norm has the coefficient 0 there.
    """
    for block in blocks:
        column = np.full((len(block), 1), float(constant))
        yield np.concatenate([block, column], axis=1)


def check_again(inputs: Any) -> None:
    """Checks that inputs can be read more than once.

    Raises:
        InputError: they are an iterator.
    """
    if isinstance(inputs, Iterator):
        raise InputError(
            "Wanted: inputs that can be read again, for the second pass. Received: "
            f"{type(inputs).__name__}, which ends after one. Give an array, or an "
            "object of batches that starts anew when it is iterated over."
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

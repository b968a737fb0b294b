"""Columns of a table as positions between their training quantiles."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["QuantileEncoding"]


@keras.saving.register_keras_serializable(package="kphotoz")
class QuantileEncoding(keras.layers.Layer):
    """Encodes each column by how far it fills each of its quantile bins.

    Column x becomes one number per bin ``[low, high]``:
    ``2 * clip((x - low) / (high - low), 0, 1) - 1``. So a network sees every column on
    the scale of the training set, and outliers end at the last edge. Always computes
    in float32.

    Args:
        edges: nested sequence of float, `(column, bin + 1)`, not decreasing.

    Input shape: `(batch, column)`. Output shape: `(batch, column * bin)`.

    Source: the piecewise linear encoding of Gorishniy et al. 2022, arXiv 2203.05556,
    section 3.1, shifted to -1..1.
    """

    def __init__(self, edges: Sequence[Sequence[float]], **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        array = np.array(edges, "float64")
        good = array.ndim == 2 and array.shape[1] > 1 and np.isfinite(array).all()
        if not good or (np.diff(array, axis=1) < 0).any():
            raise ValueError(
                "`edges` must be finite numbers (column, bin + 1) that do not decrease "
                f"along a row. Received: shape {array.shape}."
            )
        self.edges = array.tolist()

    @classmethod
    def from_table(
        cls, table: np.ndarray, bins: int = 8, **kwargs: Any
    ) -> "QuantileEncoding":
        """Returns the layer whose edges are quantiles of a training table.

        Args:
            table: float array `(n, column)`.
            bins: int. Bins per column, equally filled. [default: 8]
            **kwargs: arguments of the layer, such as `name`.
        """
        edges = np.quantile(table, np.linspace(0.0, 1.0, bins + 1), axis=0).T
        return cls(edges.tolist(), **kwargs)

    def call(self, inputs: Any) -> Any:
        edges = np.array(self.edges, "float32")
        low, width = edges[:, :-1], np.maximum(np.diff(edges, axis=1), 1e-6)
        filled = (ops.expand_dims(inputs, -1) - low) / width
        return ops.reshape(2.0 * ops.clip(filled, 0.0, 1.0) - 1.0, (-1, low.size))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        columns, edges = np.shape(self.edges)
        return (input_shape[0], columns * (edges - 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "edges": self.edges}

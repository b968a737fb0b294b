"""What all fits to a network's last features have in common."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import keras
import numpy as np

from kphotoz.errors import InputError
from kphotoz.kernels.features import Features, with_constant
from kphotoz.kernels.head import with_head

__all__ = ["LastLayerFit", "check_fitted"]

_Found = TypeVar("_Found")


class LastLayerFit:
    """A linear fit to one layer's outputs and a constant.

    Args:
        model: keras.Model. A graph; it is not changed.
        layer: str or None. Whose outputs are the features. [default: those that the
            last layer reads]
        batch_size: int. Rows at a time.
        head: function that returns the last layer of a model, or refuses it.

    Raises:
        InputError: a model without such a layer.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | None,
        batch_size: int,
        head: Callable[[keras.Model], keras.layers.Dense],
    ) -> None:
        self.model = model
        self.features = Features(model, layer, batch_size)
        self._head = head(model) if layer is None else None
        self.coefficients: np.ndarray | None = None

    def refit(self) -> keras.Model:
        """Returns a copy of the model, uncompiled, with the solution as last layer.

        Raises:
            InputError: before `fit`, or with features of a named layer.
        """
        coefficients = check_fitted(self.coefficients)
        if self._head is None:
            raise InputError(
                "Wanted: features of the last layer, to replace it. Received: those of "
                f"{self.features.layer}. Leave out `layer`."
            )
        return with_head(self.model, coefficients)

    def _rows(self, inputs: Any) -> Iterator[np.ndarray]:
        return self._with_constant(self.features.blocks(inputs))

    def _with_constant(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return with_constant(blocks, self._head is None or self._head.use_bias)


def check_fitted(fitted: _Found | None) -> _Found:
    """Returns what a fit has found, after checking that it found something.

    Raises:
        InputError: it is None.
    """
    if fitted is None:
        raise InputError(
            "Wanted: a fitted kernel. Received: one without data. Call fit first."
        )
    return fitted

"""Frozen features: what lies below the layers that move, computed once for all epochs.

They are those of the model as it predicts: no augmentation, no dropout below the first
layer that moves.
"""

import dataclasses
from typing import Any

import keras
import numpy as np

from kphotoz import data

__all__ = ["FrozenFeatures", "split"]

_BATCH = 256


def split(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Returns the frozen beginning of a model and the rest, which share its weights.

    Args:
        model: keras.Model, flat and functional.

    Returns:
        Models from the inputs to the features and from these to the outputs; None where
        frozen and moving layers stand side by side.
    """
    moving = [layer for layer in model.layers if layer.trainable_variables]
    features = moving[0].input
    if isinstance(features, list):
        return None
    below = keras.Model(model.inputs, features)
    try:
        above = keras.Model(features, model.outputs)
    except ValueError:  # another path leads past these features
        return None
    if len(above.trainable_variables) != len(model.trainable_variables):
        return None
    return below, above


@dataclasses.dataclass(frozen=True, eq=False)
class _Store:
    """The examples of a split, with features for inputs."""

    info: "data.SurveyInfo"
    table: dict[str, np.ndarray]
    inputs: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


class FrozenFeatures:
    """Features of whole splits, kept for all regimes and fractions of one base."""

    def __init__(self) -> None:
        self._base: Any = None
        self._stores: dict[Any, _Store] = {}

    def of(self, sample: "data.Sample", below: keras.Model, base: Any) -> "data.Sample":
        """Returns the sample with features for inputs.

        Args:
            sample: Sample.
            below: keras.Model. From inputs to features.
            base: what decides the features besides the inputs; those of another base
                are forgotten.
        """
        if base != self._base:
            self._base, self._stores = base, {}
        return sample.through(lambda store: self._store(store, below))

    def _store(self, store: Any, below: keras.Model) -> _Store:
        if store not in self._stores:
            whole = data.Sample([(store, np.arange(len(store)))])
            batches = data.ordered_batches(whole, batch_size=_BATCH)
            features = np.asarray(below.predict(batches, verbose=0), np.float32)
            info = dataclasses.replace(store.info, input_shape=features.shape[1:])
            self._stores[store] = _Store(info, store.table, features)
        return self._stores[store]

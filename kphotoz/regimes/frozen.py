"""What no training step changes, computed once for all epochs.

Of every photo-z network that is the preprocessing of the survey's pixels or fluxes.
Where only the head moves it is all that lies below it, as the model predicts: without
augmentation, and without dropout below the first layer that moves.
"""

import collections
import dataclasses
import itertools
import json
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz import backend, data, layers
from kphotoz.adapters import paths
from kphotoz.training import outputs

__all__ = ["FrozenFeatures", "Halves", "split"]

_BATCH = 256
# Layers without weights and randomness that stand between survey and network.
_PREPROCESSING = (
    keras.layers.Cropping2D,
    layers.AperturePhotometry,
    layers.AsinhMagnitudes,
    layers.BandStretch,
    layers.QuantileEncoding,
)
# Bases whose features are kept: the comparison's base, and networks that start fresh.
_KEPT = 4


@dataclasses.dataclass(frozen=True)
class Halves:
    """A model in two, which share its weights.

    Args:
        below: keras.Model from the inputs to features (batch, feature), float32.
        above: keras.Model from these to the outputs.
        identity: str. Equal where the features are equal.
    """

    below: keras.Model
    above: keras.Model
    identity: str


def split(model: keras.Model, *, head_only: bool = False) -> Halves | None:
    """Returns what is fixed of a model, and the rest.

    Args:
        model: keras.Model. What moves is trainable.
        head_only: bool. All frozen layers that no moving one precedes are fixed, as
            they predict; else the survey's preprocessing alone. [default: False]

    Returns:
        None where nothing is fixed, or the model is no graph.
    """
    if not paths.is_graph(model) or isinstance(model, keras.Sequential):
        return None
    edges = paths.edges(model)
    sources = collections.defaultdict(list)
    for layer, reader in edges:
        sources[id(reader)].append(layer)
    fixed: dict[int, Any] = {}
    for layer in model.operations:  # those that are read come first
        known = all(id(source) in fixed for source in sources[id(layer)])
        if known and _is_fixed(layer, head_only):
            fixed[id(layer)] = layer
    read = {id(x) for x, reader in edges if id(x) in fixed and id(reader) not in fixed}
    last = [layer for key, layer in fixed.items() if key in read]
    if all(isinstance(layer, keras.layers.InputLayer) for layer in last):
        return None
    tensors = [layer.output for layer in last]
    below = keras.Model(_plain(model.inputs), _join(tensors))
    above = _above(tensors, keras.Model(_plain(tensors), _plain(model.outputs)))
    configs = [
        (type(layer).__name__, layer.get_config())
        for layer in fixed.values()
        if isinstance(layer, keras.Layer)
    ]
    identity = json.dumps(configs, sort_keys=True, default=str)
    return Halves(below, above, identity + paths.hash_model(below))


def _is_fixed(layer: Any, head_only: bool) -> bool:
    if head_only:
        return not getattr(layer, "trainable_variables", ())
    return isinstance(layer, (keras.layers.InputLayer, *_PREPROCESSING))


def _join(tensors: list) -> Any:
    flat = [ops.reshape(ops.cast(x, "float32"), (-1, _size(x))) for x in tensors]
    return ops.concatenate(flat, axis=-1)


def _size(tensor: Any) -> int:
    return math.prod(tensor.shape[1:])


def _above(tensors: list, upper: keras.Model) -> keras.Model:
    """Returns the upper part of a model on joined features."""
    ends = list(itertools.accumulate(map(_size, tensors)))
    features = keras.Input((ends[-1],), dtype="float32", name="features")
    pieces = [
        ops.cast(
            ops.reshape(features[:, end - _size(x) : end], (-1, *x.shape[1:])), x.dtype
        )
        for x, end in zip(tensors, ends, strict=True)
    ]
    return keras.Model(features, upper(_plain(pieces)))


def _plain(tensors: list) -> Any:
    """Returns the only tensor itself: Keras takes a list of one for something else."""
    return tensors[0] if len(tensors) == 1 else tensors


@dataclasses.dataclass(frozen=True, eq=False)
class _Store:
    """The examples of a split, with features for inputs."""

    info: "data.SurveyInfo"
    table: dict[str, np.ndarray]
    inputs: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


class FrozenFeatures:
    """Features of whole splits, kept for all jobs that need the same ones."""

    def __init__(self) -> None:
        self._stores: dict[str, dict[data.Store, _Store]] = {}

    def of(self, sample: "data.Sample", halves: Halves) -> "data.Sample":
        """Returns the sample with features for inputs.

        Args:
            sample: Sample.
            halves: Halves. Of the model that is to be trained.
        """
        stores = self._stores.pop(halves.identity, {})
        self._stores[halves.identity] = stores  # the latest is last
        for identity in list(self._stores)[:-_KEPT]:
            del self._stores[identity]

        def changed(store: "data.Store") -> _Store:
            if store not in stores:
                stores[store] = _features(store, halves.below)
            return stores[store]

        return sample.through(changed)


def _features(store: "data.Store", below: keras.Model) -> _Store:
    whole = data.Sample([(store, np.arange(len(store)))])
    features = data.allocate((len(whole), *below.output_shape[1:]))
    if backend.replicas() > 1:
        features[:] = outputs.outputs(below, whole)
        return _store(store, features)
    start = 0
    for batch in data.ordered_batches(whole, batch_size=_BATCH):
        stop = start + len(batch)
        features[start:stop] = below.predict_on_batch(np.asarray(batch))
        start = stop
    return _store(store, features)


def _store(store: "data.Store", features: np.ndarray) -> _Store:
    info = dataclasses.replace(store.info, input_shape=features.shape[1:])
    return _Store(info, store.table, features)

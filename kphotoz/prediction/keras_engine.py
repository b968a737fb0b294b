"""Predictions by Keras, on whichever backend runs."""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kphotoz import adapters
from kphotoz.adapters import paths
from kphotoz.adapters.fusing import is_stretch
from kphotoz.adapters.inventory import adapters_of
from kphotoz.backend import jit_compile, joins_passes, name

__all__ = ["identity", "keras_call", "lean"]


def lean(model: Any) -> Any:
    """Returns a model that predicts the same to about 1e-5 in fewer operations.

    Adapters are merged into their kernels, batch normalisations folded into the layers
    before them, and with these or a stretch of pixels activations and the stretch are
    one pass each, in a copy. What cannot be rebuilt layer by layer stays as it is.

    Args:
        model: built keras.Model, or anything with `predict_on_batch`, which stays.
    """
    if not isinstance(model, keras.Model):
        return model
    if adapters_of(model):
        model = adapters.merge(model)
    slow = any(map(_is_slow, paths.walk(model).values()))
    if not slow or not paths.is_graph(model):
        return model
    try:
        copy = adapters.fold(model)
    except (NotImplementedError, TypeError, ValueError):
        return model  # with a layer that its configuration does not bring back
    adapters.fuse_training(copy)
    return copy


def _is_slow(layer: keras.Layer) -> bool:
    normalises = isinstance(layer, keras.layers.BatchNormalization)
    return normalises or is_stretch(layer) and joins_passes()


def keras_call(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch of inputs to predictions.

    Args:
        model: what `lean` returned.
    """
    if hasattr(model, "jit_compile"):
        model.jit_compile = jit_compile()
    return lambda batch: np.asarray(model.predict_on_batch(batch), np.float32)


def identity(model: Any) -> dict[str, str]:
    """Returns what decides the bits of a prediction: name, version, precision."""
    backend = name()
    version = sys.modules[backend].__version__
    # Input layers have the policy of this process, which says nothing.
    layers = [x for x in getattr(model, "layers", []) if getattr(x, "weights", None)]
    half = any(layer.compute_dtype == "bfloat16" for layer in layers)
    return {
        "name": "keras",
        "version": f"{keras.__version__} on {backend} {version}",
        "precision": "bfloat16" if half else "float32",
    }

"""Weights that stay frozen whatever `trainable` is set to."""

import keras

from kphotoz.layers._lora import LoRAMixin
from kphotoz.layers._paths import walk
from kphotoz.layers.batch_normalization import BatchNormalization


def freeze(layer: keras.Layer) -> None:
    """Makes a layer's own weights what ``add_weight(trainable=False)`` makes.

    Keras thaws all other weights when `trainable` of the layer, or of any layer or
    model around it, is set to True. The order of the weights stays.
    """
    # Keras decides this when a weight is made, and has no public way afterwards.
    tracker, locked = layer._tracker, layer._tracker.locked
    tracker.unlock()
    for variable in layer._trainable_variables + layer._non_trainable_variables:
        layer._untrack_variable(variable)
        variable.trainable = False
        layer._track_variable(variable)
    if locked:
        tracker.lock()


def hold(graph: keras.Model) -> dict:
    """Freezes what an adapted graph must not train.

    That is all but its LoRA layers, its normalisations, which have a policy, and the
    layers that `kphotoz.adapters.apply` was told to train in full.

    Returns:
        what `apply` recorded in its LoRA layers, empty where it did not make them.
    """
    layers = walk(graph)
    origins = [x.origin for x in layers.values() if isinstance(x, LoRAMixin)]
    origin = next(filter(None, origins), {})
    for path, layer in layers.items() if origin else ():
        minds_itself = isinstance(layer, (LoRAMixin, BatchNormalization))
        if not minds_itself and path not in origin["train_also"]:
            freeze(layer)
    # Nested models forget that they were not to train. TensorFlow would then pass them
    # by when the whole is set to train, as already set.
    for layer in layers.values() if not graph.trainable else ():
        layer.trainable = False
    return origin


def refuse_quantization(model: keras.Model) -> None:
    """Raises ValueError, before any layer of an adapted model is quantized."""
    raise ValueError(
        f"Wanted: a model without adapters to quantize. Received: {model.name!r}. "
        "Merge the adapter with `kphotoz.adapters.merge`, then quantize the result."
    )

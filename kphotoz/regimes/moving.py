"""Which weights of a base move: layers by name, normalisation by its policy."""

import re

import keras

from kphotoz.adapters.swap import rebuild
from kphotoz.errors import InputError
from kphotoz.layers import BatchNormalization
from kphotoz.regimes.regime import Trainable

__all__ = ["let_move"]

# Which layers move, by name; `models` names the last layer, regressor and stem so.
# Each part needs a layer, or a regime would be another one in silence.
_MOVING = {
    "everything": (".*",),
    "last": ("head_bins|head_redshift",),
    "head": ("head_.*",),
    "stem_and_head": ("stem_conv|stem_dense", "head_.*"),
}


def let_move(model: keras.Model, what: Trainable) -> keras.Model:
    """Returns the model with only the slot's layers trainable.

    Batch normalisations obey the slot's policy instead, whichever layers move. They are
    exchanged, in a copy of the model, only where Keras' own cannot obey it.

    Args:
        model: keras.Model, flat, uncompiled.
        what: Trainable, one that moves layers.

    Raises:
        InputError: no layer of the model has such a name.
    """
    parts, policy = _MOVING[what.moves], what.batch_norm
    for part in parts:
        if not any(re.fullmatch(part, x.name) and x.weights for x in model.layers):
            raise InputError(
                f"Wanted: layers named {part} to train. Received: none in this model, "
                f"with layers {', '.join(layer.name for layer in model.layers)}."
            )
    pattern = "|".join(parts)
    # Frozen is frozen under any policy, and without one Keras trains.
    policies = {getattr(x, "policy", "train") for x in model.layers if _normalises(x)}
    if policy != "freeze" and policies - {policy}:
        model = rebuild(model, lambda layer: _with_policy(layer, policy))
    for layer in model.layers:
        named = re.fullmatch(pattern, layer.name) is not None
        layer.trainable = policy != "freeze" if _normalises(layer) else named
    return model


def _normalises(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _with_policy(layer: keras.Layer, policy: str) -> keras.Layer:
    config = layer.get_config()
    if _normalises(layer):
        return BatchNormalization.from_config(config | {"policy": policy})
    return type(layer).from_config(config)

"""What of an adapted model's base may move, and what stays whatever happens."""

import keras

from kphotoz.adapters import paths
from kphotoz.layers._frozen import freeze

__all__ = ["Freezing"]


class Freezing:
    """The frozen layers and weights of a base that is called as it is.

    Args:
        base: model whose weights are frozen from here on, but for those of the spec.
        spec: dict with `train_also` and `batch_norm`, as `adapters.apply` makes it.
    """

    def __init__(self, base: keras.Model, spec: dict) -> None:
        layers = paths.walk(base)
        kind = keras.layers.BatchNormalization
        norms = [x for x in layers.values() if isinstance(x, kind)]
        full = [layers[path] for path in spec["train_also"]]
        full += norms if spec["batch_norm"] == "train" else []
        for layer in full:
            layer.trainable = True
        for layer in (base, *layers.values()):
            if not _among(layer, full):
                freeze(layer)
        moving = full + (norms if spec["batch_norm"] != "freeze" else [])
        self._layers = [(x, _among(x, moving)) for x in layers.values()]
        weights = {id(v) for v in base.weights}
        free = [v for v in base.variables if id(v) not in weights]  # seeds, metrics
        free += [v for layer in moving for v in layer.weights]
        self._free = frozenset(map(id, free))

    def states(self) -> list[keras.Variable]:
        """Returns what recurrent layers remember from call to call."""
        return [v for layer, _ in self._layers for v in paths.states(layer)]

    def may_move(self, variable: keras.Variable) -> bool:
        """Returns whether a call of the base may change one of its weights or seeds."""
        return id(variable) in self._free

    def set_flags(self, trainable: bool) -> None:
        """Has frozen layers run as such, whatever was set since.

        Batch normalisation, and layers like it, compute in another way then.

        Args:
            trainable: whether the adapted model trains at all.
        """
        for layer, moves in self._layers:
            if layer.trainable is not (moves and trainable):
                layer.trainable = moves and trainable


def _among(layer: keras.Layer, layers: list[keras.Layer]) -> bool:
    return any(layer is other for other in layers)

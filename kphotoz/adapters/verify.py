"""Did a step of training move what should move, and nothing else?"""

import keras

from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.inventory import adapters_of, origin_of, root_of
from kphotoz.adapters.paths import arrays, walk
from kphotoz.errors import InputError
from kphotoz.files import hash_arrays

__all__ = ["check_moved", "frozen_changed", "snapshot", "unmoved_factors"]


def snapshot(model: keras.Model) -> dict[str, str]:
    """Returns the SHA-256 of every weight of any model, by path.

    Of two weights with one path the second has "#1" appended.
    """
    return {
        path: hash_arrays(*arrays([variable]))
        for path, variable in _weights(model).items()
    }


def frozen_changed(before: dict[str, str], model: keras.Model) -> list[str]:
    """Returns the paths of frozen weights that are not what they were.

    Frozen is every weight that does not train, except the statistics of normalisation
    layers whose policy lets them move, and of layers that train in full.

    Args:
        before: `snapshot` of the model before training.
        model: the model, of any kind, after it.
    """
    free = _moving_statistics(model)
    changed = _changed(before, model)
    return [
        path
        for path, variable in _weights(model).items()
        if path in changed and id(variable) not in free and not _trains(variable, model)
    ]


def unmoved_factors(
    before: dict[str, str], model: keras.Model, factor: str | None = None
) -> list[str]:
    """Returns the paths of adapter factors that are what they were.

    After the first step every B should have moved; A, whose gradient is zero while B
    is, after the second.

    Args:
        before: `snapshot` of the model before training.
        model: the adapted model after it.
        factor: "A", "B" or None for both.
    """
    wanted = {"A": ("a",), "B": ("b",), None: ("a", "b")}[factor]
    factors = {id(getattr(x, name)) for x in adapters_of(model) for name in wanted}
    changed = _changed(before, model)
    return [
        path
        for path, variable in _weights(model).items()
        if id(variable) in factors and path not in changed
    ]


def check_moved(before: dict[str, str], model: keras.Model, steps: int = 2) -> None:
    """Checks that training moved the adapters and left frozen weights alone.

    Args:
        before: `snapshot` of the model before its first step.
        model: the model now; one without adapters has only its frozen weights checked.
        steps: int >= 1. How many steps were taken since. [default: 2]

    Raises:
        InputError: naming the weights that should not, or should, have moved.
    """
    frozen = frozen_changed(before, model)
    if frozen:
        raise InputError(
            f"Wanted: frozen weights unchanged after {steps} steps. Received: "
            f"{len(frozen)} changed, first {frozen[0]}. Compile after adapting."
        )
    still = unmoved_factors(before, model, "B" if steps < 2 else None)
    if still:
        raise InputError(
            f"Wanted: every adapter factor moved after {steps} steps. Received: "
            f"{len(still)} unmoved, first {still[0]}. Compile after adapting, and "
            "check that the learning rate is above zero and the layer is used."
        )


def _weights(model: keras.Model) -> dict[str, keras.Variable]:
    named: dict[str, keras.Variable] = {}
    for variable in model.weights:
        path, number = variable.path, 0
        while path in named:
            number += 1
            path = f"{variable.path}#{number}"
        named[path] = variable
    return named


def _changed(before: dict[str, str], model: keras.Model) -> set[str]:
    now = snapshot(model)
    if now.keys() != before.keys():
        odd = sorted(now.keys() ^ before.keys())
        raise ValueError(f"Wanted: a snapshot of this model. Received: {odd[:3]}.")
    return {path for path in now if now[path] != before[path]}


def _trains(variable: keras.Variable, model: keras.Model) -> bool:
    return any(variable is other for other in model.trainable_weights)


def _moving_statistics(model: keras.Model) -> set[int]:
    if isinstance(model, AdaptedModel):
        model.hold()
    moving = set()
    for layer in walk(model).values():
        policy = getattr(layer, "policy", "train")
        norm = isinstance(layer, keras.layers.BatchNormalization)
        if norm and layer.trainable and policy != "freeze":
            affine = {id(layer.gamma), id(layer.beta)}
            moving |= {id(v) for v in layer.weights} - affine
    layers = walk(root_of(model))
    for path in (origin_of(model) or {}).get("train_also", ()):
        moving |= {id(v) for v in layers[path].non_trainable_weights}
    return moving

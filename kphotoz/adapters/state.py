"""The values that adapting a model changes, read and written as a whole."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.inventory import (
    adapters_of,
    check_present,
    origin_of,
    plain_copy,
    put_aside,
)
from kphotoz.adapters.storage import moved_layers
from kphotoz.errors import InputError

__all__ = [
    "State",
    "base_state",
    "held",
    "merged",
    "read_state",
    "slot",
    "unmerge",
    "write_state",
]

# ("lora", path, name) of a factor, ("full", path, number) of a weight of a layer that
# trains in full or of a normalisation that moves.
State = dict[tuple, np.ndarray]


def slot(model: keras.Model) -> dict:
    """Returns what adapters must have in common to take each other's place."""
    origin, adapted = _origin(model), adapters_of(model)
    facts = {
        "base": origin["base_hash"],
        "batch_norm": origin["batch_norm"],
        "train_also": list(origin["train_also"]),
        "layers": [one.path for one in adapted],
    }
    for name in ("rank", "alpha", "start", "dora"):
        facts[name] = [getattr(one, name) for one in adapted]
    return facts


def read_state(model: keras.Model) -> State:
    """Returns copies of all values that adapting may have changed."""
    return {key: paths.value(v) for key, v in _variables(model).items()}


def write_state(model: keras.Model, state: State) -> None:
    """Assigns values that `read_state` returned."""
    for key, variable in _variables(model).items():
        variable.assign(state[key])


@contextlib.contextmanager
def held(model: keras.Model, state: State) -> Iterator[None]:
    """Within it a model holds other values; afterwards its own again."""
    before = read_state(model)
    write_state(model, state)
    try:
        yield
    finally:
        write_state(model, before)


def base_state(model: keras.Model, base: keras.Model) -> State:
    """Returns the values with which an adapted model is its base, bit for bit.

    Raises:
        InputError: `base` is not the base of `model`.
    """
    if paths.hash_model(base) != _origin(model)["base_hash"]:
        raise InputError(
            "Wanted: the base that the adapter was made for. Received: "
            f"{base.name!r}, whose weights have another hash."
        )
    layers, names = paths.walk(base), list(paths.walk(moved_layers(model)[0]))
    position = dict(zip(names, layers.values(), strict=False))
    state = {}
    for key, value in read_state(model).items():
        kind, path, number = key
        if kind == "full":
            state[key] = paths.value(position[path].weights[number])
        else:
            # Without A nothing is added, nor taken off what PiSSA started from.
            state[key] = value if number == "lora_a" else np.zeros_like(value)
    return state


@contextlib.contextmanager
def merged(model: keras.Model) -> Iterator[keras.Model]:
    """Within it the kernels hold the updates, for fast prediction in place.

    Afterwards every weight is what it was, bit for bit: values are kept, and nothing
    is subtracted.

    Args:
        model: model made by `apply` or `load`.
    """
    check_present(model, "merged()")
    adapted = adapters_of(model)
    sums = [paths.value(x.kernel) + x.update() for x in adapted]
    kept = [
        (v, paths.value(v)) for x in adapted for v in (x.kernel, *x.variables.values())
    ]
    try:
        for one, total in zip(adapted, sums, strict=True):
            one.kernel.assign(total)
            for name, variable in one.variables.items():
                if name != "lora_a":
                    variable.assign(np.zeros(variable.shape, "float32"))
        with put_aside(model):
            yield model
    finally:
        for variable, value in kept:
            variable.assign(value)


def unmerge(model: keras.Model) -> keras.Model:
    """Returns the base of an adapted model as plain Keras layers, bit for bit.

    Args:
        model: model made by `apply` or `load`.

    Raises:
        InputError: layers that trained in full or normalisations that moved; what they
            were before is not in the model.
    """
    base = plain_copy(model)
    layers = paths.walk(base)
    for one in adapters_of(model):
        layers[one.path].kernel.assign(paths.value(one.kernel))
    _, moved = moved_layers(model)
    if moved and paths.hash_model(base) != _origin(model)["base_hash"]:
        raise InputError(
            "Wanted: a model whose base is all in it. Received: one in which "
            f"{', '.join(moved)} moved. Keep the base model for these."
        )
    return base


def _variables(model: keras.Model) -> dict[tuple, keras.Variable]:
    variables: dict[tuple, keras.Variable] = {
        ("lora", one.path, name): variable
        for one in adapters_of(model)
        for name, variable in one.variables.items()
    }
    root, moved = moved_layers(model)
    layers = paths.walk(root)
    for path in moved:
        for number, variable in enumerate(layers[path].weights):
            variables["full", path, number] = variable
    return variables


def _origin(model: keras.Model) -> dict:
    origin = origin_of(model)
    if origin is None:
        raise InputError(
            f"Wanted: a model made by adapters.apply. Received: {model.name!r}."
        )
    return origin

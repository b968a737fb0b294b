"""Copies of live models: the same classes, functions, names and weights.

A copy is made of the configuration of a model that lives in this process, so what
Keras refuses to read from a stranger's file comes along: `Lambda` layers, functions
given as activations, classes that nobody registered. No code is loaded for it: each
callable is handed over as the object that it is.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

from kphotoz.adapters import paths
from kphotoz.errors import InputError
from kphotoz.layers._forms import quantization_of

__all__ = [
    *("check_quantized", "copy_any", "copy_state", "describe", "of_config"),
    *("own_objects", "rebuilt", "share_functions"),
]

_KEPT = (None, "int8", "int4")  # what a copy of a layer keeps to the bit


def copy_any(model: keras.Model) -> keras.Model:
    """Returns an uncompiled copy of a model of any class, with equal weights and seeds.

    Its layers have the names of the model's, even where Keras makes names up.

    Raises:
        InputError: its class does not give itself back from its own configuration.
    """
    copy = rebuilt(model)
    old, new = ({"": x, **paths.walk(x)}.values() for x in (model, copy))
    for source, target in zip(old, new, strict=True):
        if not isinstance(source, keras.Model):
            copy_state(source, target)
    for source, target in zip(model.variables, copy.variables, strict=True):
        target.assign(paths.value(source))
    return copy


def describe(model: keras.Model) -> dict:
    """Returns what rebuilds a model, without how it was compiled.

    Some classes compile themselves and cannot say how.
    """
    return _uncompiled(keras.saving.serialize_keras_object(model))


def _uncompiled(config: Any) -> Any:
    if isinstance(config, dict):
        lost = ("compile_config",) if "class_name" in config else ()
        return {k: _uncompiled(v) for k, v in config.items() if k not in lost}
    if isinstance(config, list | tuple):
        return type(config)(map(_uncompiled, config))
    return config


def rebuilt(
    model: keras.Model,
    change: Callable[[dict], dict] = lambda config: config,
    variables: Iterable[keras.Variable] | None = None,
    fix: str = "build on its classes, and make every layer in __init__ or build",
) -> keras.Model:
    """Returns a model of another's configuration, its layers named as those.

    Layers are paired by position, since a name that Keras made up is another one in
    every copy.

    Args:
        model: built model of any class.
        change: returns the configuration to use, given what `describe` returns.
        variables: those of `model` that the copy has too. [default: all]
        fix: what helps, besides `get_config`, where that does not.

    Raises:
        InputError: the configuration does not rebuild the model.
    """
    check_quantized(model)
    layers = paths.walk(model)
    if any(map(quantization_of, layers.values())):
        fix = "adapt the model before it is quantized: not all classes say it is"
    try:
        with own_objects([model, *layers.values()]):
            config = change(describe(model))
            copy = keras.saving.deserialize_keras_object(config)
        unlike = _unlike(model, copy, variables)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        unlike = f"of which Keras says: {' '.join(str(error).split())[:500]}"
    if unlike:
        raise InputError(
            "Wanted: a model that can be rebuilt from its configuration. Received: "
            f"{type(model).__name__}, {unlike}. Implement get_config, and {fix}."
        )
    paths.rename(copy, [layer.name for layer in layers.values()])
    for old, new in zip(layers.values(), paths.walk(copy).values(), strict=True):
        share_functions(old, new)
    return copy


def _unlike(
    model: keras.Model, copy: keras.Model, variables: Iterable | None
) -> str | None:
    """Returns in what a copy is none, None where it is one."""
    wanted = model.variables if variables is None else list(variables)
    pair = [list(paths.walk(x).values()) for x in (model, copy)]
    if len(copy.variables) != len(wanted):
        return (
            f"whose copy has {len(copy.variables)} variables instead of {len(wanted)}"
        )
    if len(pair[0]) != len(pair[1]):
        return f"whose copy has {len(pair[1])} layers instead of {len(pair[0])}"
    for old, new in zip(*pair, strict=True):
        if type(old) is not type(new):
            return f"whose copy has a {type(new).__name__} in the place of {old.name}"
    for old, new in zip(wanted, copy.variables, strict=True):
        if tuple(old.shape) != tuple(new.shape):
            return f"whose copy has {old.path} of shape {tuple(new.shape)}"
    return None


def check_quantized(model: keras.Model) -> None:
    """Raises InputError for layers quantized in a way that no copy keeps.

    The scales of float8 move with every step of training; layers of GPTQ and AWQ say
    nowhere in their configuration how far they have come.
    """
    for path, layer in paths.walk(model).items():
        if quantization_of(layer) not in _KEPT:
            raise InputError(
                "Wanted: layers that are not quantized, or to int8 or int4. Received: "
                f"{path} with {quantization_of(layer)}, which can be neither copied "
                "nor frozen. Adapt the model before it is quantized, and quantize what "
                "adapters.merge gives."
            )


@contextlib.contextmanager
def own_objects(layers: Iterable[keras.Layer]) -> Iterator[None]:
    """Within it layers give themselves back with the callables and classes they have.

    While it lasts every function that a layer holds goes by a name of its own, which
    stands for that very function.

    Args:
        layers: live layers, to be serialised and deserialised within.
    """
    scope: dict[str, Any] = {}
    kept: list[tuple[keras.Layer, str, Any]] = []
    for layer in _with_hidden(layers):
        scope[type(layer).__name__] = type(layer)
        for name, value in list(vars(layer).items()):
            if hasattr(value, "get_config") and not _of_keras(type(value)):
                scope[type(value).__name__] = type(value)
            elif _is_own_function(layer, name, value):
                token = f"kphotoz_function_{len(kept)}"
                scope[token] = value
                kept.append((layer, name, value))
                setattr(layer, name, _under(token, value))
    try:
        with keras.saving.custom_object_scope(scope):
            yield
    finally:
        for layer, name, value in kept:
            setattr(layer, name, value)


def of_config(layer: keras.Layer, config: dict) -> keras.Layer:
    """Returns an unbuilt layer of another's class.

    Raises:
        InputError: the class does not take its own configuration.
    """
    try:
        return type(layer).from_config(config)
    except (*paths.UNMADE, ValueError) as error:
        raise paths.unlike_itself(layer, error) from error


def share_functions(old: keras.Layer, new: keras.Layer | None) -> None:
    """Gives a copy of a layer the very functions that it holds.

    Keras forgets some of them, as the mask of a Lambda.
    """
    for name, value in list(vars(old).items()) if new is not None else ():
        if name in vars(new) and _is_own_function(old, name, value):
            setattr(new, name, value)


def _with_hidden(layers: Iterable[keras.Layer]) -> list[keras.Layer]:
    """Returns layers and those that they keep to themselves, as Bidirectional does."""
    all_layers = {id(layer): layer for layer in layers}
    queue = list(all_layers.values())
    while queue:
        for value in list(vars(queue.pop()).values()):
            if isinstance(value, keras.Layer) and id(value) not in all_layers:
                every = (value, *paths.walk(value).values())
                new = {id(x): x for x in every if id(x) not in all_layers}
                all_layers |= new
                queue += new.values()
    return list(all_layers.values())


def _is_own_function(layer: keras.Layer, name: str, value: Any) -> bool:
    if not callable(value) or isinstance(value, type) or hasattr(value, "get_config"):
        return False
    # Methods that an instance has in place of those of its class are no settings.
    return not callable(getattr(type(layer), name, None)) and not _of_keras(value)


def _of_keras(value: Any) -> bool:
    return (getattr(value, "__module__", None) or "").split(".")[0] == "keras"


def _under(token: str, function: Callable) -> Callable:
    def named(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    # The signature too, because Lambda looks for arguments called mask and training.
    with contextlib.suppress(AttributeError):
        functools.update_wrapper(named, function)
    named.__name__ = named.__qualname__ = token
    return named


def _check_apart(old: keras.Layer, new: keras.Layer) -> None:
    pair = [[tuple(w.shape) for w in layer.weights] for layer in (old, new)]
    if pair[0] != pair[1] or {id(w) for w in old.weights} & {
        id(w) for w in new.weights
    }:
        raise InputError(
            "Wanted: layers that can be rebuilt from their configurations. Received: "
            f"{old.name!r} of class {type(old).__name__}, whose copy has other weights "
            "or shares some with it. Implement get_config with plain values, without "
            "variables."
        )


def copy_state(old: keras.Layer, new: keras.Layer) -> None:
    """Copies weights and seeds between layers of one class.

    Raises:
        InputError: the new layer has other weights, or one that is the old one's.
    """
    if not old.built or not new.built:
        return
    if paths.children(old):
        _check_apart(old, new)
        # Its own variables are none of those of the layers that it is made of.
        for source, copy in zip(old.weights, new.weights, strict=True):
            copy.assign(paths.value(source))
    elif old.weights:
        store: dict = {}
        old.save_own_variables(store)
        new.load_own_variables({k: paths.value(v) for k, v in store.items()})
    for memory in (paths.seeds, paths.states):
        for source, copy in zip(memory(old), memory(new), strict=False):
            copy.assign(paths.value(source))

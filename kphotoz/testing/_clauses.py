"""What the clauses of the adapter contract are written with."""

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kphotoz import adapters

__all__ = [
    *("around", "check", "clause", "copy_weights", "factors", "gap"),
    *("one_line", "quantize", "size", "skipped", "toggle"),
]


def check(clause: str, holds: bool, message: str) -> None:
    """Raises AssertionError with the clause and what was seen if it does not hold."""
    if not holds:
        raise AssertionError(f"Adapter contract, {clause}: {message}")


@contextlib.contextmanager
def clause(name: str) -> Iterator[None]:
    """Tells of any error that it broke this clause."""
    try:
        yield
    except AssertionError as error:
        if str(error).startswith("Adapter contract, "):
            raise
        raise _broken(name, error) from error
    except Exception as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> AssertionError:
    return AssertionError(f"Adapter contract, {name}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """Returns the class and the first words of an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def around(layer: keras.Layer, inputs: Any) -> keras.Model:
    """Returns a Functional model of one layer that takes inputs like these."""

    def start(x, name=None):
        return keras.Input(x.shape[1:], dtype=x.dtype, name=name)

    if isinstance(inputs, dict):
        # Keras wants the keys as names.
        starts = {name: start(x, name) for name, x in inputs.items()}
    else:
        starts = keras.tree.map_structure(start, inputs)
    return keras.Model(starts, layer(starts))


def factors(model: keras.Model) -> list[tuple[str, np.ndarray]]:
    """Returns path and value of every factor of an adapted model."""
    return [
        (v.path, keras.ops.convert_to_numpy(v))
        for v in model.variables
        if v.name.startswith("lora_")
    ]


def gap(one: Any, other: Any) -> float:
    """Returns the largest difference of two equal structures of arrays."""
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    # Not of the arrays' own type: a mask is none that can be subtracted.
    return max(
        float(np.abs(np.subtract(x, y, dtype="float64")).max(initial=0))
        for x, y in pairs
    )


def size(variables: list[keras.Variable]) -> int:
    """Returns the number of entries of variables."""
    return sum(int(np.prod(v.shape)) for v in variables)


def skipped(base: keras.Model, options: dict) -> dict[str, str]:
    """Returns {path: why} of the layers that `apply` leaves without an adapter."""
    known = inspect.signature(adapters.plan).parameters
    given = {name: value for name, value in options.items() if name in known}
    return {x.path: x.skipped for x in adapters.plan(base, **given) if x.skipped}


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives a model the weights of another of its kind."""
    target.set_weights(source.get_weights())
    for layer in target._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it reads its weights then only


def toggle(layer: keras.Layer) -> None:
    """Sets `trainable` of a layer to False and True, as Keras users do."""
    layer.trainable = False
    layer.trainable = True


def quantize(model: keras.Model) -> str:
    """Quantizes a plain model to int8, in place.

    Returns:
        why the model is not quantized, or "" if it is.
    """
    try:
        with warnings.catch_warnings():
            # Of layers that cannot be quantized.
            warnings.simplefilter("ignore", UserWarning)
            model.quantize("int8")
    except Exception as error:  # whatever it is, it is Keras' and no adapter's
        return one_line(error)
    layers = model._flatten_layers(include_self=False)
    quantized = any(layer.quantization_mode for layer in layers)
    return "" if quantized else "no layer that Keras quantizes"

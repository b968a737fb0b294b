"""Layers by path: the names from the model's root, joined by slashes.

A path is a layer's address in adapter files, patterns and reports, never its position.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kphotoz.files import hash_arrays
from kphotoz.layers._lora import LoRAMixin

__all__ = [
    *("arrays", "children", "edges", "hash_model", "is_graph", "is_swappable"),
    *("own_weights", "value", "walk"),
]

# What a subclass may override without `clone_model` losing it.
_LOST_BY_CLONING = (
    "call",
    "compile",
    "fit",
    "evaluate",
    "predict",
    "train_step",
    "test_step",
    "predict_step",
)


def walk(model: keras.Layer) -> dict[str, keras.Layer]:
    """Returns every layer below `model` by path, parents before children.

    A layer shared by two parents has the first path. Siblings of one name, possible in
    subclassed models, get ":1", ":2" appended.
    """
    found, seen = {}, set()

    def visit(parent: keras.Layer, prefix: str) -> None:
        for layer in children(parent):
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path = base = prefix + layer.name
            number = 0
            while path in found:
                number += 1
                path = f"{base}:{number}"
            found[path] = layer
            visit(layer, path + "/")

    visit(model, "")
    return found


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the weights of a layer, without those of layers below and adapters."""
    if isinstance(layer, LoRAMixin):
        return layer.base_weights
    below = {id(weight) for child in children(layer) for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in below]


def children(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers that a layer or model is made of."""
    if isinstance(layer, keras.Model):
        return layer.layers
    # Keras has no public list of a layer's sublayers; keras-hub uses this one.
    return layer._flatten_layers(include_self=False, recursive=False)


@functools.cache
def functional_class() -> type[keras.Model]:
    """Returns the class of functional models, which Keras does not export."""
    tensor = keras.Input((1,), name="kphotoz_probe")
    return type(keras.Model(tensor, tensor, name="kphotoz_probe"))


def is_graph(layer: keras.Layer) -> bool:
    """Returns whether `clone_model` rebuilds this very model with nothing lost."""
    if type(layer) is keras.Sequential:
        return layer.built
    functional = functional_class()
    return isinstance(layer, functional) and all(
        getattr(type(layer), name) is getattr(functional, name)
        for name in _LOST_BY_CLONING
    )


def is_swappable(model: keras.Model) -> bool:
    """Returns whether all layers with weights are leaves of Functional or Sequential.

    Layers with sublayers of their own (attention, wrappers, recurrent cells, subclassed
    blocks) cannot be rebuilt piece by piece, and forget frozen parts when reloaded.
    """

    def leaves(graph: keras.Model) -> Iterator[keras.Layer]:
        for layer in graph.layers:
            yield from leaves(layer) if is_graph(layer) else [layer]

    return is_graph(model) and not any(
        layer.weights and children(layer) for layer in leaves(model)
    )


def value(variable: keras.Variable) -> np.ndarray:
    """Returns a copy of a variable's value that shares no memory with it.

    On JAX `assign` keeps the very buffer it is given, and the training step frees the
    buffers of its model: a copy made without this would delete the original's weights.
    """
    return np.array(keras.ops.convert_to_numpy(variable), copy=True)


def arrays(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Returns the values of variables as they are stored."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def hash_model(model: keras.Model) -> str:
    """Returns the SHA-256 of all weights of a model in order, names left out."""
    return hash_arrays(*arrays(model.weights))


def edges(graph: keras.Model) -> list[tuple]:
    """Returns (layer, reader) for each output that a layer reads; None is outside.

    Args:
        graph: Functional or Sequential model.
    """
    if isinstance(graph, keras.Sequential):
        return list(itertools.pairwise([*graph.layers, None]))
    config = graph.get_config()
    # Names are unique within one graph.
    layers = {operation.name: operation for operation in graph.operations}
    edges = [
        (layers[name], layers[entry["name"]])
        for entry in config["layers"]
        for name in _sources(entry["inbound_nodes"])
    ]
    return edges + [(layers[name], None) for name in _sources(config["output_layers"])]


def _sources(config: Any) -> Iterator[str]:
    """Yields the layers that a part of a config refers to, as [name, node, tensor]."""
    if isinstance(config, dict):
        config = list(config.values())
    if not isinstance(config, list | tuple):
        return
    if [type(x) for x in config] == [str, int, int]:
        yield config[0]
        return
    for part in config:
        yield from _sources(part)

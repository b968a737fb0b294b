"""Layers by path: the names from the model's root, joined by slashes.

A path is a layer's address in adapter files, patterns and reports, never its position.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kphotoz.errors import InputError
from kphotoz.files import hash_arrays
from kphotoz.layers._lora import LoRAMixin
from kphotoz.layers._paths import children, walk

__all__ = [
    *("UNMADE", "arrays", "children", "edges", "hash_model", "input_of", "inputs_like"),
    *("is_automatic", "is_graph", "is_stack"),
    *(
        "is_swappable",
        "own_weights",
        "rename",
        "seeds",
        "states",
        "unlike_itself",
        "value",
        "walk",
    ),
]

# What classes raise that do not give themselves back from a configuration.
UNMADE = (AttributeError, KeyError, NotImplementedError, TypeError)

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


def rename(model: keras.Model, names: list[str]) -> None:
    """Gives the layers below a model these names, in the order of `walk`."""
    for layer, name in zip(walk(model).values(), names, strict=True):
        if layer.name != name:
            layer.name = name


def is_automatic(path: str, layers: dict[str, keras.Layer]) -> bool:
    """Returns whether Keras made up a name in a path, so that a copy has another.

    Such a name is that of the class in snake case, and a number after the first.

    Args:
        path: of a layer.
        layers: by path, as `walk` returns them.
    """
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(_is_made_up(layers[x]) for x in above if x in layers)


def _is_made_up(layer: keras.Layer) -> bool:
    words = re.sub(r"\W+", "", type(layer).__name__)
    words = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", words)
    words = re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()
    return re.fullmatch(rf"_?{words}(_\d+)?", layer.name) is not None


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the weights of a layer, without those of layers below and adapters."""
    if isinstance(layer, LoRAMixin):
        return layer.base_weights
    below = {id(weight) for child in children(layer) for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in below]


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


def seeds(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the states of the generators of random numbers of a layer."""
    weights = {id(v) for v in layer.weights}
    return [v for v in layer.variables if id(v) not in weights]


def states(layer: keras.Layer) -> list[keras.Variable]:
    """Returns what a recurrent layer remembers from call to call.

    Keras counts them among no layer's variables.
    """
    stateful = isinstance(layer, keras.layers.RNN) and layer.stateful
    return keras.tree.flatten(layer.states) if stateful and layer.states else []


def value(variable: keras.Variable) -> np.ndarray:
    """Returns a copy of a variable's value that shares no memory with it.

    On JAX `assign` keeps the very buffer it is given, and the training step frees the
    buffers of its model: a copy made without this would delete the original's weights.
    """
    return np.array(keras.ops.convert_to_numpy(variable), copy=True)


def arrays(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Returns the values of variables as they are stored."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def input_of(model: keras.Model) -> Any:
    """Returns the symbolic inputs of a model, in the structure that it takes.

    Raises:
        AttributeError: it has none, as a subclassed model.
    """
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def inputs_like(model: keras.Model) -> Any:
    """Returns new symbolic inputs of the kinds and the structure of a model's.

    Raises:
        AttributeError: it has none.
    """
    graph = keras.Model(model.inputs, model.outputs) if is_stack(model) else model
    starts = [x for x in graph.layers if isinstance(x, keras.layers.InputLayer)]
    optional = {id(x.output) for x in starts if x.optional}

    def like(tensor: keras.KerasTensor) -> keras.KerasTensor:
        return keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=tensor.name,
            optional=id(tensor) in optional,
        )

    return keras.tree.map_structure(like, input_of(model))


def is_stack(model: keras.Model) -> bool:
    """Returns whether a model lists its layers in a row, without that of the input."""
    return isinstance(model, keras.Sequential) or getattr(model, "sequential", False)


def hash_model(model: keras.Model) -> str:
    """Returns the SHA-256 of all weights of a model in order, names left out."""
    return hash_arrays(*arrays(model.weights))


def unlike_itself(model: keras.Layer, error: Exception) -> InputError:
    """Returns what is told of a model with a layer that no configuration brings back.

    Args:
        model: a graph, or one layer.
        error: what Keras, or the layer's class, said.
    """
    return InputError(
        "Wanted: layers that can be rebuilt from their configurations. Received: "
        f"{model.name!r}, of which Keras says: {' '.join(str(error).split())[:500]}. "
        "Implement get_config."
    )


def edges(graph: keras.Model) -> list[tuple]:
    """Returns (layer, reader) for each output that a layer reads; None is outside.

    Args:
        graph: Functional or Sequential model.

    Raises:
        InputError: a layer of it has no configuration.
    """
    if isinstance(graph, keras.Sequential):
        return list(itertools.pairwise([*graph.layers, None]))
    # Of a second graph over the same layers, because some classes hide it in theirs.
    try:
        config = keras.Model(graph.input, graph.output).get_config()
    except UNMADE as error:
        raise unlike_itself(graph, error) from error
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

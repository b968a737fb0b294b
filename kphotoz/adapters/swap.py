"""Functional and Sequential models rebuilt with some of their layers exchanged."""

from collections.abc import Callable
from typing import Any

import keras

from kphotoz.adapters import paths
from kphotoz.adapters.copies import (
    check_quantized,
    copy_state,
    of_config,
    own_objects,
    share_functions,
)
from kphotoz.adapters.paths import inputs_like
from kphotoz.files import hash_arrays
from kphotoz.layers import (
    AdaptedFunctional,
    BatchNormalization,
    LoRAConv1D,
    LoRAConv2D,
    LoRADense,
    LoRAEinsumDense,
)
from kphotoz.layers._forms import form_of
from kphotoz.layers._lora import LoRAMixin

__all__ = [
    *("LORA", "can_swap", "hash_frozen", "lora_twin"),
    *("plain", "rebuild", "swap"),
]

LORA = {
    keras.layers.Conv1D: LoRAConv1D,
    keras.layers.Conv2D: LoRAConv2D,
    keras.layers.Dense: LoRADense,
    keras.layers.EinsumDense: LoRAEinsumDense,
}
_NORMS = (keras.layers.BatchNormalization, BatchNormalization)
_OF_KERAS_LORA = ("lora_rank", "lora_alpha", "quantization_config")


def can_swap(base: keras.Model, targets: list[str]) -> bool:
    """Returns whether all targets have a LoRA layer to be exchanged for."""
    layers = paths.walk(base)
    norms = [x for x in layers.values() if _is_batch_norm(x)]
    return (
        paths.is_swappable(base)
        and all(type(layers[path]) in LORA for path in targets)
        and all(type(x) in _NORMS for x in norms)
    )


def swap(base: keras.Model, spec: dict, initializers: dict) -> keras.Model:
    """Returns a copy of `base` with LoRA layers at the targets and the rest frozen.

    Args:
        base: model for which `can_swap` holds.
        spec: what `apply` decided.
        initializers: {path: initializer of A}.
    """
    names = {id(layer): path for path, layer in paths.walk(base).items()}
    entries = {entry["path"]: entry for entry in spec["entries"]}

    def convert(layer: keras.Layer) -> keras.Layer:
        path = names[id(layer)]
        trained = path in spec["train_also"]
        if path in entries:
            return _lora_layer(layer, entries[path], spec, initializers[path])
        if _is_batch_norm(layer):
            policy = "train" if trained else spec["batch_norm"]
            config = layer.get_config() | {"policy": policy, "trainable": True}
            return BatchNormalization.from_config(config)
        config = layer.get_config()
        if layer.weights:
            config["trainable"] = trained
        return of_config(layer, config)

    graph = rebuild(base, convert)
    if isinstance(graph, keras.Sequential):
        return AdaptedFunctional(graph.inputs[0], graph.outputs[0], name=graph.name)
    return AdaptedFunctional(graph.input, graph.output, name=graph.name)


def hash_frozen(model: keras.Model, origin: dict) -> str:
    """Returns the SHA-256 of what must not move, the same for a base and its copy.

    Args:
        model: the base, or what `swap` made of it.
        origin: dict. What `apply` records: `train_also` and `batch_norm`.
    """
    frozen, trained = [], origin["train_also"]
    for path, layer in paths.walk(model).items():
        moves = origin["batch_norm"] != "freeze" and _is_batch_norm(layer)
        if not (moves or any(f"{path}/".startswith(f"{x}/") for x in trained)):
            frozen += paths.own_weights(layer)
    return hash_arrays(*paths.arrays(frozen))


def plain(model: keras.Model) -> keras.Model:
    """Returns a copy of a swapped model with merged, trainable, plain Keras layers."""

    def convert(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config() | {"trainable": True}
        if isinstance(layer, BatchNormalization):
            del config["policy"]
            return keras.layers.BatchNormalization.from_config(config)
        for stock, lora in LORA.items():
            if isinstance(layer, lora):
                own = lora.get_config(layer).keys() - stock.get_config(layer).keys()
                config = {k: v for k, v in config.items() if k not in own}
                return stock.from_config(config)
        return of_config(layer, config)

    return rebuild(model, convert)


def _is_batch_norm(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _lora_layer(
    layer: keras.Layer, entry: dict, spec: dict, initializer: Any
) -> LoRAMixin:
    config = {
        "trainable": True,
        "dropout": spec["dropout"],
        "a_initializer": initializer,
        "origin": spec["origin"],
    }
    return lora_twin(layer, entry, **config)


def lora_twin(layer: keras.Layer, entry: dict, **config: Any) -> LoRAMixin:
    """Returns an unbuilt LoRA layer that is `layer` with the adapter of an entry.

    Args:
        layer: built layer of a class in `LORA`.
        entry: dict with rank, alpha, seed, dora, start and formulation.
        **config: further arguments of the LoRA layer.
    """
    form = form_of(layer)
    assert form is not None  # a layer of an entry has one
    inputs, outputs = form.matrix
    names = ("rank", "alpha", "seed", "dora", "start", "formulation")
    given = {name: entry[name] for name in names}
    given["allow_full_rank"] = entry["rank"] > min(inputs, outputs)
    with own_objects([layer]):
        own = {k: v for k, v in layer.get_config().items() if k not in _OF_KERAS_LORA}
        return LORA[type(layer)].from_config(own | given | config)


def rebuild(
    model: keras.Model,
    convert: Callable[[keras.Layer], keras.Layer | None],
    carry: Callable[[keras.Layer, keras.Layer], None] | None = None,
) -> keras.Model:
    """Returns an uncompiled copy of a graph with `convert` applied to every leaf.

    Nested Functional and Sequential models are rebuilt likewise, and a layer used twice
    stays one layer.

    Args:
        model: model for which `paths.is_graph` holds.
        convert: returns the new layer in place of one, or None to leave it out.
        carry: sets the weights of a new layer given the old one. [default: copies
            values of weights and seeds]

    Raises:
        InputError: a layer does not give itself back from its own configuration.
    """
    check_quantized(model)
    done: dict[int, tuple] = {}

    def copy(layer):
        if id(layer) not in done:
            if isinstance(layer, keras.Model) and paths.is_graph(layer):
                new = _copy_graph(layer, copy)
            elif isinstance(layer, keras.Layer):
                new = convert(layer)
            else:
                new = of_config(layer, layer.get_config())
            # The old layer is kept, so that its id stays its own.
            done[id(layer)] = (layer, new)
        return done[id(layer)][1]

    try:
        with own_objects(paths.walk(model).values()):
            new_model = copy(model)
    except paths.UNMADE as error:
        raise paths.unlike_itself(model, error) from error
    for old, new in done.values():
        share_functions(old, new)
        if isinstance(new, keras.Layer) and not paths.is_graph(old):
            (carry or _carry)(old, new)
    return new_model


def _copy_graph(model: keras.Model, copy: Callable) -> keras.Model:
    start = inputs_like(model)
    if paths.is_stack(model):
        layers = [layer for layer in map(copy, model.layers) if layer is not None]
        return keras.Sequential([start, *layers], name=model.name)
    if model.compiled or isinstance(model, AdaptedFunctional):
        # A second graph over the same layers, because a clone would be compiled too,
        # and of the same class.
        model = keras.Model(model.input, model.output, name=model.name)
    return keras.models.clone_model(
        model, start, clone_function=copy, call_function=_call
    )


def _call(layer: keras.Layer | None, *args: Any, **kwargs: Any) -> Any:
    return args[0] if layer is None else layer(*args, **kwargs)


def _carry(old: keras.Layer, new: keras.Layer) -> None:
    if not old.built or not new.built:
        return
    if isinstance(old, LoRAMixin) or isinstance(new, LoRAMixin):
        _copy_kernel(old, new)
    else:
        copy_state(old, new)


def _copy_kernel(old: keras.Layer, new: keras.Layer) -> None:
    # A merged kernel is summed in float32: `kernel` would round to the compute dtype.
    if isinstance(old, LoRAMixin):
        value = keras.ops.add(old.base_kernel, old.update())
    else:
        value = paths.value(old.kernel)
    target = new.base_kernel if isinstance(new, LoRAMixin) else new.kernel
    target.assign(value)
    if isinstance(new, LoRAMixin):
        new.restart()
    if old.bias is not None:
        new.bias.assign(paths.value(old.bias))

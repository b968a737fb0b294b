"""Adapters to and from files, matched to a base by path and by hash."""

import logging
import os

import keras
import numpy as np

from kphotoz import __version__
from kphotoz.adapters import file_format, paths
from kphotoz.adapters.building import build, entry
from kphotoz.adapters.file_format import Entry, Header, Part
from kphotoz.adapters.inventory import (
    Adapter,
    adapters_of,
    check_finite,
    check_present,
    origin_of,
    root_of,
)
from kphotoz.adapters.swap import hash_frozen
from kphotoz.errors import InputError
from kphotoz.files import hash_arrays
from kphotoz.layers._forms import form_of, quantization_of

__all__ = ["check_frozen", "load", "moved_layers", "save"]

log = logging.getLogger(__name__)


def save(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes what adapting added to the base: one small safetensors file.

    It holds the factors, layers trained in full, the batch normalisation that moved,
    ranks, alphas, targets, versions, and hashes of the base and its adapted kernels.

    Args:
        model: model made by `apply` or `load`.
        path: file to write, usually ending in .safetensors.

    Raises:
        InputError: the model was not made so, a factor is not finite, a weight moved
            that the file would lose, or the file cannot be written.
    """
    adapted = adapters_of(model)
    origin = origin_of(model)
    if origin is None:
        raise InputError(
            f"Wanted: a model made by adapters.apply. Received: {model.name!r}, of "
            "whose base nothing is recorded. Save it with model.save."
        )
    check_finite(adapted)
    check_present(model, "saving")
    check_frozen(model)
    layers = paths.walk(root_of(model))
    head, norms = _head_and_norms(origin, layers)
    parts = {"norm": _parts(layers, norms), "head": _parts(layers, head)}
    header = Header(
        version=1,
        kphotoz=__version__,
        keras=keras.__version__,
        base_hash=origin["base_hash"],
        targets=origin["targets"],
        dropout=origin["dropout"],
        batch_norm=origin["batch_norm"],
        entries=[_entry(adapter, layers) for adapter in adapted],
        normalisations=parts["norm"],
        head=parts["head"],
    )
    tensors = {}
    for x in adapted:
        names = [name.removeprefix("lora_") for name in x.variables]
        values = paths.arrays(x.variables.values())
        for name, value in zip(names, values, strict=True):
            tensors[f"lora/{x.path}/{name}"] = value
    for kind, names in (("norm", norms), ("head", head)):
        for name in names:
            store = _store(layers[name])
            tensors |= {f"{kind}/{name}/{key}": value for key, value in store.items()}
    file_format.write(path, header, tensors)


def load(base: keras.Model, path: str | os.PathLike) -> keras.Model:
    """Returns a new, uncompiled model: the base with the adapter of a file.

    Every entry must find its kernel: by path, if the kernel there has the hash in the
    file; if there is no such path, by the hash alone, if one kernel has it (layer names
    are not stable), which is logged.

    Args:
        base: the model the adapter was made for; it stays untouched.
        path: file written by `save`.

    Raises:
        InputError: the file is not a whole adapter, or it belongs to another base.
    """
    header, tensors = file_format.read(path)
    layers = paths.walk(base)
    same_base = paths.hash_model(base) == header.base_hash
    if not same_base:
        log.warning("%s was made for a base that differs in some weights.", path)
    match = _match(header.entries, layers)
    order = list(layers)
    same_order = all(order.index(match[x.path]) == x.index for x in header.entries)
    head, norms = (
        {x.path: _place(x, layers, same_base, same_order) for x in parts}
        for parts in (header.head, header.normalisations)
    )
    stored = {match[x.path]: x for x in header.entries}
    entries = [
        entry(path, x.rank, x.alpha, start=x.start, dora=x.dora)
        for path in layers
        if (x := stored.get(path))
    ]
    policy, dropout, named = header.batch_norm, header.dropout, header.targets
    try:
        model = build(base, entries, list(head.values()), policy, dropout, named)
        for adapter in adapters_of(model):
            for name, variable in adapter.variables.items():
                key = f"lora/{stored[adapter.path].path}/{name.removeprefix('lora_')}"
                variable.assign(tensors[key].reshape(variable.shape))
    except InputError:
        raise
    except ValueError as error:  # of ranks and sizes that no adapter of it can have
        raise InputError(
            f"Wanted: factors that fit the base. Received: {path}: {error} Give the "
            "base this adapter was trained on."
        ) from error
    parts = {"norm": (header.normalisations, norms), "head": (header.head, head)}
    new = paths.walk(root_of(model))
    for kind, (described, places) in parts.items():
        for part in described:
            own = {key: tensors[f"{kind}/{part.path}/{key}"] for key in part.shapes}
            new[places[part.path]].load_own_variables(own)
    return model


def check_frozen(model: keras.Model) -> None:
    """Checks that an adapted model still has the base's weights where none may move.

    No `trainable` of a layer or model thaws them, but that of a variable does.

    Raises:
        InputError: it has not.
    """
    origin = origin_of(model) or {}
    if "frozen_hash" in origin and (
        hash_frozen(root_of(model), origin) != origin["frozen_hash"]
    ):
        raise InputError(
            "Wanted: the base's own weights in all layers that were frozen. Received: "
            "others, which an adapter's file would lose. Name layers to be trained in "
            "train_also, set no weight by hand, or keep it all by model.save."
        )


def moved_layers(model: keras.Model) -> tuple[keras.Model, list[str]]:
    """Returns the model with the base's layers, and the paths of those that may move.

    These train in full, or are normalisations whose policy lets them move.
    """
    root, origin = root_of(model), origin_of(model)
    if origin is None:
        return root, []
    head, norms = _head_and_norms(origin, paths.walk(root))
    return root, [*head, *norms]


def _head_and_norms(origin: dict, layers: dict) -> tuple[list[str], list[str]]:
    head = list(origin["train_also"])
    return head, [] if origin["batch_norm"] == "freeze" else _norms(layers, head)


def _norms(layers: dict, head: list[str]) -> list[str]:
    kind = keras.layers.BatchNormalization
    return [p for p, x in layers.items() if isinstance(x, kind) and p not in head]


def _entry(adapter: Adapter, layers: dict[str, keras.Layer]) -> Entry:
    return Entry(
        path=adapter.path,
        kind=type(adapter.layer).__name__.removeprefix("LoRA"),
        index=list(layers).index(adapter.path),
        shape=list(adapter.kernel.shape),
        rank=adapter.rank,
        alpha=adapter.alpha,
        start=adapter.start,
        dora=adapter.dora,
        kernel_hash=hash_arrays(*paths.arrays([adapter.kernel])),
    )


def _parts(layers: dict[str, keras.Layer], names: list[str]) -> list[Part]:
    order = list(layers)
    return [
        Part(path=name, index=order.index(name), shapes=_shapes(layers[name]))
        for name in names
    ]


def _store(layer: keras.Layer) -> dict[str, np.ndarray]:
    store: dict = {}
    layer.save_own_variables(store)
    return {key: paths.value(value) for key, value in store.items()}


def _shapes(layer: keras.Layer) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in _store(layer).items()}


def _match(entries: list[Entry], layers: dict[str, keras.Layer]) -> dict[str, str]:
    """Returns {path in the file: path in the base}."""
    hashes = {
        path: hash_arrays(*paths.arrays([layer.kernel]))
        for path, layer in layers.items()
        if form_of(layer)
    }
    matched = {entry.path: _match_one(entry, hashes, layers) for entry in entries}
    if len(set(matched.values())) < len(matched):
        raise InputError(
            "Wanted: one kernel for each adapter entry. Received: a base in which two "
            "entries fit one kernel. Give the base this adapter was trained on."
        )
    return matched


def _match_one(
    entry: Entry, hashes: dict[str, str], layers: dict[str, keras.Layer]
) -> str:
    same = [path for path, value in hashes.items() if value == entry.kernel_hash]
    placed = _by_position(entry, layers)
    path: str | None
    if placed in same:
        path = placed
    elif placed or entry.path not in hashes:
        path = same[0] if len(same) == 1 else None
    else:
        path = entry.path if entry.path in same else None
    if path:
        if path != entry.path:
            log.warning("The adapter of %s goes to %s, by hash.", entry.path, path)
        return path
    layer = layers.get(entry.path)
    none = f"no such layer, and {len(same)} layers with that kernel"
    if layer is not None and quantization_of(layer):
        none = f"a kernel quantized to {quantization_of(layer)}"
    raise InputError(
        f"Wanted: kernel {entry.kernel_hash} at {entry.path}. Received: "
        f"{hashes.get(entry.path, none)}. Give the base this adapter was trained on."
    )


def _by_position(described: Entry | Part, layers: dict[str, keras.Layer]) -> str | None:
    """Returns the layer at a position, where Keras made its name up.

    What it calls `dense` in one model may be another layer in its twin.
    """
    order = list(layers)
    path = order[described.index] if 0 <= described.index < len(order) else ""
    return path if path and paths.is_automatic(path, layers) else None


def _place(
    part: Part, layers: dict[str, keras.Layer], same_base: bool, same_order: bool
) -> str:
    path, order = part.path, list(layers)
    if same_order and (placed := _by_position(part, layers)):
        path = placed
    elif path not in layers and same_base and part.index < len(order):
        path = order[part.index]
    if path != part.path:
        log.warning("%s of the adapter goes to %s, by position.", part.path, path)
    have = _shapes(layers[path]) if path in layers else "no such layer"
    if have != part.shapes:
        raise InputError(
            f"Wanted: a layer {part.path} with weights {part.shapes}. Received: "
            f"{have}. Give the base this adapter was trained on."
        )
    return path

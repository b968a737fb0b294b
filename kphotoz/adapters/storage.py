"""Adapters to and from files, matched to a base by path and by hash."""

import logging
import os

import keras
import numpy as np

from kphotoz import __version__
from kphotoz.adapters import file_format, paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.building import build
from kphotoz.adapters.file_format import Entry, Header, Part
from kphotoz.adapters.forms import form_of
from kphotoz.adapters.inventory import adapters_of, check_finite
from kphotoz.errors import InputError
from kphotoz.files import hash_arrays

__all__ = ["load", "save"]

log = logging.getLogger(__name__)


def save(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes what adapting added to the base: one small safetensors file.

    It holds the factors, layers trained in full, the batch normalisation that moved,
    ranks, alphas, targets, versions, and hashes of the base and its adapted kernels.

    Args:
        model: model made by `apply` or `load`.
        path: file to write, by custom ending in .safetensors.

    Raises:
        InputError: the model was not made so, a factor is not finite, or the file cannot
            be written.
    """
    found = adapters_of(model)
    origin = _origin(model)
    if origin is None:
        raise InputError(
            f"Wanted: a model made by adapters.apply. Received: {model.name!r}, of whose "
            "base nothing is recorded. Save it with model.save."
        )
    check_finite(found)
    layers = paths.walk(_root(model))
    index = {layer_path: i for i, layer_path in enumerate(layers)}
    tensors, entries = {}, []
    for x in found:
        kernel_hash = hash_arrays(*paths.arrays([x.kernel]))
        stored = {"path": x.path, "rank": x.rank, "alpha": x.alpha}
        kind = type(x.layer).__name__.removeprefix("LoRA")
        stored |= {"kind": kind, "index": index[x.path], "shape": tuple(x.kernel.shape)}
        entries.append(Entry(**stored, kernel_hash=kernel_hash))
        a, b = paths.arrays([x.a, x.b])
        tensors |= {f"lora/{x.path}/a": a, f"lora/{x.path}/b": b}
    head = list(origin["train_also"])
    norms = [] if origin["batch_norm"] == "freeze" else _norms(layers, head)
    parts = {}
    for kind, names in (("norm", norms), ("head", head)):
        stored = {name: _store(layers[name]) for name in names}
        parts[kind] = [
            Part(
                path=n, index=index[n], shapes={k: list(v.shape) for k, v in s.items()}
            )
            for n, s in stored.items()
        ]
        for n, s in stored.items():
            tensors |= {f"{kind}/{n}/{k}": v for k, v in s.items()}
    header = Header(
        version=1,
        kphotoz=__version__,
        keras=keras.__version__,
        base_hash=origin["base_hash"],
        targets=origin["targets"],
        dropout=origin["dropout"],
        batch_norm=origin["batch_norm"],
        entries=entries,
        normalisations=parts["norm"],
        head=parts["head"],
    )
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
    match = {entry.path: _match(entry, layers) for entry in header.entries}
    _check_distinct(match)
    head = {part.path: _place(part, layers, same_base) for part in header.head}
    norms = {p.path: _place(p, layers, same_base) for p in header.normalisations}
    entries = [
        {"path": match[e.path], "rank": e.rank, "alpha": e.alpha, "seed": 0}
        for e in header.entries
    ]
    order = {name: i for i, name in enumerate(layers)}
    entries.sort(key=lambda entry: order[entry["path"]])
    model = build(
        base,
        entries,
        list(head.values()),
        header.batch_norm,
        header.dropout,
        header.targets,
    )
    new = paths.walk(_root(model))
    back = {now: then for then, now in match.items()}
    for adapter in adapters_of(model):
        for name, variable in (("a", adapter.a), ("b", adapter.b)):
            value = tensors[f"lora/{back[adapter.path]}/{name}"]
            variable.assign(value.reshape(variable.shape))
    for kind, places in (("norm", norms), ("head", head)):
        for then, now in places.items():
            start = f"{kind}/{then}/"
            names = [name for name in tensors if name.startswith(start)]
            own = {n.removeprefix(start): tensors[n] for n in names}
            new[now].load_own_variables({k: v for k, v in own.items() if "/" not in k})
    return model


def _root(model: keras.Model) -> keras.Model:
    return model.base if isinstance(model, AdaptedModel) else model


def _origin(model: keras.Model) -> dict | None:
    if isinstance(model, AdaptedModel):
        return model.spec["origin"]
    origins = [adapter.layer.origin for adapter in adapters_of(model)]
    return origins[0] if origins else None


def _norms(layers: dict, head: list[str]) -> list[str]:
    kind = keras.layers.BatchNormalization
    return [p for p, x in layers.items() if isinstance(x, kind) and p not in head]


def _store(layer: keras.Layer) -> dict[str, np.ndarray]:
    store: dict = {}
    layer.save_own_variables(store)
    return {key: keras.ops.convert_to_numpy(value) for key, value in store.items()}


def _match(entry: Entry, layers: dict[str, keras.Layer]) -> str:
    hashes = {
        path: hash_arrays(*paths.arrays([layer.kernel]))
        for path, layer in layers.items()
        if form_of(layer)
    }
    if hashes.get(entry.path) == entry.kernel_hash:
        return entry.path
    same = [path for path, value in hashes.items() if value == entry.kernel_hash]
    if entry.path not in hashes and len(same) == 1:
        log.warning("The adapter of %s goes to %s, by hash.", entry.path, same[0])
        return same[0]
    received = hashes.get(entry.path)
    received = f"{received[:12]}" if received else f"no such layer, {len(same)} by hash"
    raise InputError(
        f"Wanted: kernel {entry.kernel_hash[:12]} at {entry.path}. Received: {received}. "
        "Give the base this adapter was trained on."
    )


def _check_distinct(match: dict[str, str]) -> None:
    if len(set(match.values())) != len(match):
        raise InputError(
            "Wanted: one kernel for each adapter entry. Received: a base in which two "
            "entries fit one kernel. Give the base this adapter was trained on."
        )


def _place(part: Part, layers: dict[str, keras.Layer], same_base: bool) -> str:
    path = part.path
    if path not in layers and same_base and part.index < len(layers):
        path = list(layers)[part.index]
        log.warning("%s of the adapter goes to %s, by position.", part.path, path)
    have = (
        {k: list(v.shape) for k, v in _store(layers[path]).items()}
        if (path in layers)
        else None
    )
    if have != part.shapes:
        raise InputError(
            f"Wanted: a layer {part.path} with weights {part.shapes}. Received: "
            f"{have or 'no such layer'}. Give the base this adapter was trained on."
        )
    return path

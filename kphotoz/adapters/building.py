"""Adapters onto a base model."""

import dataclasses
import zlib
from typing import Any

import keras

from kphotoz.adapters import paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.copies import copy_any
from kphotoz.adapters.eva import find_directions, share_ranks
from kphotoz.adapters.inventory import adapters_of
from kphotoz.adapters.planning import Choice, Targets, matching, plan
from kphotoz.adapters.self_written import self_written
from kphotoz.adapters.swap import can_swap, hash_frozen, swap
from kphotoz.errors import InputError
from kphotoz.layers._lora_arguments import (
    STARTS,
    FactorUniform,
    check_alpha,
    check_dropout,
    check_formulation,
)
from kphotoz.layers.batch_normalization import BATCH_NORM_POLICIES

__all__ = ["apply", "build", "entry"]


def apply(
    base: keras.Model,
    rank: int = 4,
    alpha: float | None = None,
    targets: Targets = None,
    *,
    rank_patterns: dict[str, int] | None = None,
    dropout: float = 0.0,
    batch_norm: str = "freeze",
    train_also: str | None = None,
    a_initializer: Any = None,
    start: str = "zero",
    data: Any = None,
    dora: bool = False,
    rank_stabilized: bool = False,
    formulation: str | None = None,
    allow_full_rank: bool = False,
    seed: int = 0,
) -> keras.Model:
    """Returns a new, uncompiled model with low-rank adapters; the base is untouched.

    Everything but the factors is frozen, except layers that `train_also` matches and
    what `batch_norm` lets move. Functional and Sequential models come back with LoRA
    layers, as an `AdaptedFunctional`, any other model as an `AdaptedModel`. Before any
    training the new model's output equals the base's exactly.

    Args:
        base: built model of any class.
        rank: int >= 1. Width of the updates. [default: 4]
        alpha: float > 0. Updates are scaled by alpha / rank. [default: each rank]
        targets: pattern searched in layer paths (anchor it with ^ and $), a function of
            (path, layer), or None for all convolutions and linear layers except those
            whose adapter would be no smaller than the kernel. `plan` lists both.
        rank_patterns: {pattern: rank}; the first that matches a path sets its rank.
        dropout: float in [0, 1) on the input of the updates' branches; only where LoRA
            layers can be swapped in. [default: 0]
        batch_norm: "freeze", "adapt_statistics" or "train", see
            `kphotoz.layers.BatchNormalization`. [default: "freeze"]
        train_also: pattern of layers that train in full, for example a new head. They
            get no adapter.
        a_initializer: initializer of A, seeded anew for each path. [default: uniform
            with bound 1 / sqrt(fan_in)]
        start: "zero", B is zero; "pissa", A @ B is each kernel's principal part, which
            is taken off the sum so that the base stays; or "eva", B is zero and A the
            main directions of what `data` gives each layer, ranks moved to where more
            is needed (Paischer et al. 2024, arXiv 2410.07170). [default: "zero"]
        data: one batch of inputs, for start="eva" only.
        dora: train the norm of each column of a kernel apart from its direction.
        rank_stabilized: multiply alpha by the root of each rank, so that updates are
            scaled by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732).
        formulation: "kernel", "factored" or "two_branches" for all layers, see
            `kphotoz.layers`. [default: the cheapest, layer by layer]
        allow_full_rank: adapt also layers whose adapter is no smaller than the kernel,
            as published parameter counts do. [default: False]
        seed: int. Fixes every factor given its path. [default: 0]

    Raises:
        InputError: arguments that do not fit each other or the model; nothing matches.
    """
    _check(alpha, dropout, batch_norm, start, formulation)
    choices = plan(
        base,
        rank,
        targets,
        rank_patterns=rank_patterns,
        train_also=train_also,
        allow_full_rank=allow_full_rank,
    )
    directions = _directions(base, choices, start, data)
    same = {"start": start, "dora": dora, "formulation": formulation}
    choices = _reranked(choices, directions)
    entries = _entries(choices, alpha, rank_stabilized, seed, same)
    full = matching(paths.walk(base), train_also) if train_also else []
    named = getattr(targets, "__name__", "function") if callable(targets) else targets
    model = build(
        base, entries, full, batch_norm, dropout, named, initializer=a_initializer
    )
    _point(model, directions)
    return model


def entry(
    path: str,
    rank: int,
    alpha: float,
    *,
    start: str = "zero",
    dora: bool = False,
    formulation: str | None = None,
    seed: int = 0,
) -> dict:
    """Returns what `build` is told of one adapted layer, as plain values."""
    return {
        "path": path,
        "rank": rank,
        "alpha": alpha,
        "start": start,
        "dora": dora,
        "formulation": formulation,
        "seed": seed,
    }


def _entries(
    choices: list[Choice],
    alpha: float | None,
    rank_stabilized: bool,
    seed: int,
    same: dict[str, Any],
) -> list[dict]:
    """Returns an entry for every choice but those skipped; `same` is alike in all."""
    if same["start"] == "eva":  # its factors are written once they are there
        same = same | {"start": "zero"}
    entries = []
    for choice in choices:
        if not choice.skipped:
            scale = choice.rank**0.5 if rank_stabilized else 1.0
            own = zlib.crc32(f"{seed}/{choice.path}".encode())
            scaled = check_alpha(alpha, choice.rank) * scale
            entries.append(entry(choice.path, choice.rank, scaled, seed=own, **same))
    return entries


def _point(model: keras.Model, directions: dict) -> None:
    for adapter in adapters_of(model) if directions else []:
        a = directions[adapter.path].vectors[: adapter.rank].T
        adapter.a.assign(a.reshape(adapter.a.shape).astype("float32"))


def _directions(
    base: keras.Model, choices: list[Choice], start: str, data: Any
) -> dict:
    if (start == "eva") != (data is not None):
        raise InputError(
            'Wanted: data together with start="eva", and only then. Received: '
            f"{start=}, data {'missing' if data is None else 'given'}."
        )
    return {} if data is None else find_directions(base, choices, data)


def _reranked(choices: list[Choice], directions: dict) -> list[Choice]:
    if not directions:
        return choices
    kept = {c.path: c for c in choices if c.path in directions}
    limits = {
        # The rank at which an adapter stays smaller than its kernel.
        path: max(c.rank, (c.kernel_parameters - 1) // (c.parameters // c.rank))
        for path, c in kept.items()
    }
    ranks = share_ranks(directions, {p: c.rank for p, c in kept.items()}, limits)
    return [
        dataclasses.replace(c, rank=ranks[c.path]) if c.path in ranks else c
        for c in choices
    ]


def build(
    base: keras.Model,
    entries: list[dict],
    train_also: list[str],
    batch_norm: str,
    dropout: float,
    targets: str | None,
    *,
    initializer: Any = None,
) -> keras.Model:
    """Returns the adapted copy of `base` for decisions already made.

    Args:
        base: built model.
        entries: made by `entry`, in the order of the layers.
        train_also: paths of layers that train in full.
        batch_norm: policy.
        dropout: rate.
        targets: pattern or name of the function the entries come from, for the record.
        initializer: of A.

    Raises:
        InputError: dropout is wanted where only the kernel can be replaced, or the base
            has layers that cannot be copied.
    """
    spec: dict[str, Any] = {
        # A reloaded base has other names where Keras makes them up.
        "names": [layer.name for layer in paths.walk(base).values()],
        "entries": entries,
        "train_also": train_also,
        "batch_norm": batch_norm,
        "dropout": dropout,
    }
    base_hash = paths.hash_model(base)
    spec["origin"] = {
        "base_hash": base_hash,
        "targets": targets,
        "train_also": train_also,
        "batch_norm": batch_norm,
        "dropout": dropout,
        "sequential": isinstance(base, keras.Sequential),
    }
    starts = {e["path"]: _initializer(initializer, e["seed"]) for e in entries}
    written = self_written(base)
    spec["origin"]["frozen_hash"] = hash_frozen(base, spec["origin"])
    # Only an AdaptedModel keeps what a frozen layer writes to itself from its weights.
    if written == frozenset() and can_swap(base, list(starts)):
        model = swap(base, spec, starts)
    elif dropout or any(entry["formulation"] == "two_branches" for entry in entries):
        raise InputError(
            f"Wanted: no dropout and no two branches for {type(base).__name__}, in "
            f"which only kernels can be replaced. Received: {dropout=}. Build a "
            "Functional model of Dense, EinsumDense, Conv1D and Conv2D layers, or "
            "leave them out."
        )
    else:
        model = AdaptedModel(copy_any(base), spec, starts)
    return model


def _check(
    alpha: float | None,
    dropout: float,
    batch_norm: str,
    start: str,
    formulation: str | None,
) -> None:
    try:
        check_alpha(alpha, 1)
        check_formulation(formulation, check_dropout(dropout))
    except ValueError as error:
        raise InputError(str(error)) from error
    starts = (*STARTS, "eva")
    if start not in starts:
        raise InputError(
            f"Wanted: start one of {', '.join(starts)}. Received: {start!r}."
        )
    if batch_norm not in BATCH_NORM_POLICIES:
        raise InputError(
            f"Wanted: batch_norm one of {', '.join(BATCH_NORM_POLICIES)}. "
            f"Received: {batch_norm!r}."
        )


def _initializer(initializer: Any, seed: int) -> keras.initializers.Initializer:
    if initializer is None:
        return FactorUniform(seed)
    config = keras.initializers.serialize(keras.initializers.get(initializer))
    if "seed" in config["config"]:
        config["config"]["seed"] = seed
    return keras.initializers.deserialize(config)

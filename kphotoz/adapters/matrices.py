"""Factors as plain matrices: read from an adapter, or given to a base."""

import dataclasses
import re

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.building import build, entry
from kphotoz.adapters.inventory import Adapter, adapters_of
from kphotoz.adapters.planning import plan

__all__ = ["Given", "build_given", "matrices_of"]


@dataclasses.dataclass(frozen=True)
class Given:
    """The factors of one layer, as matrices.

    Args:
        a: (inputs, rank), inputs in the order of the kernel's axes; None leaves the
            start that `apply` gives.
        b: (rank, outputs).
        alpha: the update is ``alpha / rank * a @ b``.
    """

    a: np.ndarray | None
    b: np.ndarray
    alpha: float


def build_given(
    base: keras.Model,
    given: dict[str, Given],
    *,
    train_also: list[str] | None = None,
    batch_norm: str = "freeze",
    dropout: float = 0.0,
    name: str,
    allow_full_rank: bool = True,
) -> keras.Model:
    """Returns the base with these adapters, as `adapters.load` would.

    Args:
        base: built model without adapters; it stays untouched.
        given: by layer path.
        train_also: paths of layers that train in full.
        batch_norm: policy.
        dropout: rate.
        name: where the factors come from, for the record.
        allow_full_rank: accept adapters no smaller than their kernel.

    Raises:
        InputError: the base is not one to adapt, or a layer or rank does not fit.
    """
    choices = plan(
        base,
        1,
        lambda path, layer: path in given,
        rank_patterns={f"^{re.escape(p)}$": len(x.b) for p, x in given.items()},
        allow_full_rank=allow_full_rank,
    )
    entries = [entry(c.path, c.rank, given[c.path].alpha) for c in choices]
    model = build(base, entries, train_also or [], batch_norm, dropout, name)
    for adapter in adapters_of(model):
        factors = given[adapter.path]
        for variable, value in ((adapter.a, factors.a), (adapter.b, factors.b)):
            if value is not None:
                variable.assign(value.reshape(variable.shape).astype("float32"))
    return model


def matrices_of(adapter: Adapter) -> Given:
    """Returns the factors of an adapter, the start of PiSSA taken off.

    That start is a product of its own, so the rank, and with it alpha, doubles. What
    DoRA does to the sum is left out.
    """
    rank = adapter.rank
    values = dict(
        zip(adapter.variables, paths.arrays(adapter.variables.values()), strict=True)
    )
    a = values["lora_a"].reshape(-1, rank)
    b = values["lora_b"].reshape(rank, -1)
    if adapter.start != "pissa":
        return Given(a, b, adapter.alpha)
    a_start = values["lora_a_start"].reshape(-1, rank)
    b_start = values["lora_b_start"].reshape(rank, -1)
    both = np.hstack([a, a_start]), np.vstack([b, -b_start])
    return Given(*both, 2 * adapter.alpha)

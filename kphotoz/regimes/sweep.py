"""Variants of regimes over values of their fields."""

import itertools
import math
from typing import Any

import pydantic

from kphotoz.errors import InputError, unknown
from kphotoz.regimes.regime import Regime, Trainable, check_effect, get
from kphotoz.training.settings import Training

__all__ = ["expand"]

_MOST = 1000  # variants of one regime; our choice


def expand(
    regimes: list[Regime],
    sweep: dict[str, list[Any]],
    overrides: dict[str, dict[str, Any]],
) -> list[Regime]:
    """Returns the regimes, each swept one replaced by one variant a combination.

    A variant is named after what it changes: `lora[rank=8]`,
    `lora[rank=8,learning_rate=0.001]`.

    Args:
        regimes: list of Regime.
        sweep: dict of "REGIME.FIELD" to values. A field is one of an adapter (rank,
            alpha, targets, …), `batch_norm`, or one of the training settings.
        overrides: dict of regime to a recipe's overrides of its slots.

    Raises:
        InputError: a regime that is not among the regimes, an unknown field, one that
            changes nothing in this regime, no value, or one that the field does not
            take.
    """
    grids: dict[str, dict[str, list[Any]]] = {}
    known = [regime.name for regime in regimes]
    for key, values in sweep.items():
        name, dot, field = key.partition(".")
        if not dot:
            raise InputError(
                f"Wanted: --sweep REGIME.FIELD=VALUE,… Received: {key!r}. "
                "Example: --sweep lora.rank=2,4,8"
            )
        if name not in known:
            raise unknown("regime to sweep", name, known)
        if not values:
            raise InputError(f"Wanted: values of {key} to sweep. Received: none.")
        _slot(field)  # a field at all
        check_effect(regimes[known.index(name)], field)
        distinct = [v for i, v in enumerate(values) if v not in values[:i]]
        grid = grids.setdefault(name, {})
        grid[field] = distinct
        if math.prod(map(len, grid.values())) > _MOST:
            raise InputError(
                f"Wanted: at most {_MOST} variants of {name}. Received: more, with the "
                f"values of {', '.join(grid)}. Sweep fewer."
            )
    swept = []
    for regime in regimes:
        own = grids.get(regime.name)
        swept += _variants(regime, own, overrides) if own else [regime]
    return swept


def _variants(
    regime: Regime, grid: dict[str, list[Any]], overrides: dict[str, dict[str, Any]]
) -> list[Regime]:
    own = overrides.get(regime.row, {})
    variants = []
    for values in itertools.product(*grid.values()):
        changes = dict(zip(grid, values, strict=True))
        slots = {
            slot: {
                **own.get(slot, {}),
                **{key: value for key, value in changes.items() if _slot(key) == slot},
            }
            for slot in ("trainable", "training")
        }
        words = ",".join(f"{key}={value}" for key, value in changes.items())
        variant = get(regime.name, {**own, **slots})
        variants.append(
            variant.model_copy(
                update={
                    "name": f"{regime.name}[{words}]",
                    "description": f"{regime.description}; {words}",
                }
            )
        )
    return variants


def _slot(field: str) -> str:
    slots: dict[str, type[pydantic.BaseModel]]
    slots = {"trainable": Trainable, "training": Training}
    for slot, model in slots.items():
        if field in model.model_fields:
            return slot
    choices = [name for model in slots.values() for name in model.model_fields]
    raise unknown("field to sweep", field, choices)

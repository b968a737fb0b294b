"""What a regime is: one way to carry a base model to new ground truth."""

import functools
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

import pydantic
import yaml

from kphotoz.errors import InputError, unknown

__all__ = ["Regime", "Trainable", "get", "names", "select"]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Trainable(_Strict):
    """The slot that says where weights start and which of them move."""

    start: Literal["base", "fresh"]
    moves: Literal[
        "nothing", "last", "head", "stem_and_head", "everything", "lora", "forest"
    ]
    rank: int = pydantic.Field(4, ge=1)
    alpha: float = pydantic.Field(16.0, gt=0)
    dropout: float = pydantic.Field(0.0, ge=0, lt=1)
    targets: str | None = None
    batch_norm: Literal["freeze", "adapt_statistics", "train"] = "freeze"


class Regime(_Strict):
    """Four slots, their overrides of the training settings, and a description."""

    name: str
    description: str
    data: Literal["nothing", "target", "source+target"]
    trainable: Trainable
    objective: Literal["none"] = "none"
    finish: Literal["nothing"] = "nothing"
    training: dict[str, Any] = {}
    searched: bool = True

    @property
    def needs_source(self) -> bool:
        """Whether a source survey must exist."""
        return self.trainable.start == "base" or "source" in self.data

    @property
    def learns_from_target(self) -> bool:
        """Whether the number of target labels matters."""
        return "target" in self.data

    @property
    def trains(self) -> bool:
        """Whether a network takes gradient steps."""
        return self.trainable.moves not in ("nothing", "forest")


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    path = pathlib.Path(__file__).with_name("regimes.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def names() -> list[str]:
    """Returns the names of all regimes, in the order of the table."""
    return list(_table())


def get(name: str, overrides: dict[str, Any] | None = None) -> Regime:
    """Returns a regime by name, with a recipe's overrides of its slots applied.

    Raises:
        InputError: unknown name, or an override that no slot has.
    """
    if name not in _table():
        raise unknown("regime", name, names())
    row = dict(_table()[name])
    overrides = dict(overrides or {})
    for slot in ("trainable", "training"):
        row[slot] = {**row.get(slot, {}), **overrides.pop(slot, {})}
    try:
        return Regime(name=name, **{**row, **overrides})
    except (pydantic.ValidationError, TypeError) as error:
        detail = str(error).splitlines()
        raise InputError(
            f"Regime {name!r} with overrides. Wanted: fields of its four slots. "
            f"Received: {' '.join(line.strip() for line in detail[1:3]) or error}."
        ) from error


def select(
    chosen: Iterable[str], overrides: dict[str, dict[str, Any]], has_source: bool
) -> list[Regime]:
    """Returns the regimes of a recipe in order, each once.

    Raises:
        InputError: unknown names, or a regime that needs a source survey without one.
    """
    for name in overrides:
        get(name)
    regimes = [get(name, overrides.get(name)) for name in dict.fromkeys(chosen)]
    if not regimes:
        raise InputError(
            f"Wanted: at least one regime of {', '.join(names())}. Received: none."
        )
    needy = [r.name for r in regimes if r.needs_source and not has_source]
    if needy:
        raise InputError(
            "Wanted: a source survey for regimes that start from a base model or train "
            f"on the union. Received: none, with regimes {', '.join(needy)}. "
            "Give --source, or choose --regimes from_scratch,random_forest."
        )
    return regimes

"""What a regime is: one way to carry a base model to new ground truth."""

import functools
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

import pydantic
import yaml

from kphotoz.errors import InputError, unknown
from kphotoz.untrusted import check_pattern

__all__ = ["Regime", "Trainable", "base", "get", "names", "select"]

# No row of the table: it is what the others start from.
_BASE = {
    "description": "trained on the source alone",
    "data": "source",
    "trainable": {"start": "fresh", "moves": "everything"},
}


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Trainable(_Strict):
    """The slot that says where weights start and which of them move.

    `batch_norm` is the policy of every batch normalisation, whatever else moves, in the
    words of `kphotoz.layers.BatchNormalization`: by default "train" where everything
    moves and "freeze" elsewhere. `factors` is the start of an adapter's factors, what
    `kphotoz.adapters.apply` calls `start`.
    """

    start: Literal["base", "fresh"]
    moves: Literal[
        "nothing", "last", "head", "stem_and_head", "everything", "lora", "forest"
    ]
    rank: int = pydantic.Field(4, ge=1)
    alpha: float = pydantic.Field(16.0, gt=0)
    dropout: float = pydantic.Field(0.0, ge=0, lt=1)
    targets: str | None = None
    dora: bool = False
    factors: Literal["zero", "pissa"] = "zero"
    batch_norm: Literal["freeze", "adapt_statistics", "train"] = "freeze"

    @pydantic.model_validator(mode="before")
    @classmethod
    def _everything_means_normalisation_too(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("moves") == "everything":
            return {"batch_norm": "train", **fields}
        return fields

    @pydantic.field_validator("targets")
    @classmethod
    def _targets_end(cls, value: str | None) -> str | None:
        if value is not None:
            check_pattern(value)
        return value

    @pydantic.model_validator(mode="after")
    def _fresh_statistics_move(self) -> "Trainable":
        everything = self.start == "fresh" and self.moves == "everything"
        if everything and self.batch_norm != "train":
            raise ValueError("batch_norm must be train where a network starts fresh")
        return self


class Regime(_Strict):
    """Four slots, their overrides of the training settings, and a description."""

    name: str
    description: str
    data: Literal["nothing", "source", "target", "source+target", "target+degraded"]
    trainable: Trainable
    objective: Literal["none"] = "none"
    finish: Literal["nothing"] = "nothing"
    training: dict[str, Any] = {}
    searched: bool = True

    @property
    def needs_source(self) -> bool:
        """Whether a source survey must exist."""
        seen = "source" in self.data or "degraded" in self.data
        return self.trainable.start == "base" or seen

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
    return _overridden(name, _table()[name], overrides)


def base(overrides: dict[str, Any] | None = None) -> Regime:
    """Returns the regime that trains the base, with a recipe's overrides applied.

    Raises:
        InputError: an override that no slot has.
    """
    return _overridden("base", _BASE, overrides)


def _overridden(
    name: str, row: dict[str, Any], overrides: dict[str, Any] | None
) -> Regime:
    row, overrides = dict(row), dict(overrides or {})
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
    for name, slots in overrides.items():  # also of regimes that are not run
        base(slots) if name == "base" else get(name, slots)
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

"""What a regime is: one way to carry a base model to new ground truth."""

import functools
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

import pydantic
import yaml

from kphotoz.errors import InputError, unknown
from kphotoz.training.settings import Training
from kphotoz.untrusted import check_pattern

__all__ = ["Regime", "Trainable", "base", "check_effect", "get", "names", "select"]

# What a name ends in to have its last layer refitted: lora+refit.
_REFIT = "+refit"
# Fields that matter only where an adapter is trained, or the last layer solved for.
_OF_ADAPTERS = ["rank", "alpha", "dropout", "targets", "dora", "factors"]
_OF_REFITS = ["loss", "label_clamp"]
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
        "nothing",
        "last",
        "head",
        "stem_and_head",
        "everything",
        "lora",
        "forest",
        "refit",
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
    finish: Literal["nothing", "refit"] = "nothing"
    training: dict[str, Any] = {}
    searched: bool = True

    @property
    def reads_source(self) -> bool:
        """Whether training sees rows of the source survey."""
        return "source" in self.data or "degraded" in self.data

    @property
    def needs_source(self) -> bool:
        """Whether a source survey must exist where no base is given."""
        return self.trainable.start == "base" or self.reads_source

    @property
    def learns_from_target(self) -> bool:
        """Whether the number of target labels matters."""
        return "target" in self.data

    @property
    def trains(self) -> bool:
        """Whether a network takes gradient steps."""
        return self.trainable.moves not in ("nothing", "forest", "refit")

    @property
    def refits(self) -> bool:
        """Whether the last layer is solved for, instead of training or after it."""
        return self.trainable.moves == "refit" or self.finish == "refit"

    @property
    def keeps_adapter(self) -> bool:
        """Whether what it learns is an adapter, apart from its base."""
        return self.trainable.moves == "lora" and not self.refits

    @property
    def row(self) -> str:
        """The row of the table that it is, or that it finishes."""
        return _row(self.name)

    @pydantic.model_validator(mode="after")
    def _labels_move_something(self) -> "Regime":
        if (self.data == "nothing") != (self.trainable.moves == "nothing"):
            raise ValueError("data is nothing exactly where moves is nothing")
        return self

    @pydantic.model_validator(mode="after")
    def _finish_follows_training(self) -> "Regime":
        if self.finish == "refit" and not self.trains:
            raise ValueError("finish: refit must follow a network's training")
        return self


def _row(name: str) -> str:
    return name.removesuffix(_REFIT)


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    path = pathlib.Path(__file__).with_name("regimes.yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def names() -> list[str]:
    """Returns the names of all regimes, in the order of the table."""
    return list(_table())


def get(name: str, overrides: dict[str, Any] | None = None) -> Regime:
    """Returns a regime by name, with a recipe's overrides of its slots applied.

    Args:
        name: str. A row of the table; with `+refit` behind it, its last layer is
            refitted after training.
        overrides: dict of slots, or None.

    Raises:
        InputError: unknown name, or an override that no slot has.
    """
    row = _row(name)
    if row not in _table():
        raise unknown("regime", row, names())
    finish = {} if row == name else {"finish": "refit"}
    regime = _overridden(name, _table()[row], {**(overrides or {}), **finish})
    if not finish:
        return regime
    words = f"{regime.description}; then the last layer is solved for"
    return regime.model_copy(update={"description": words})


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
    try:
        for slot in ("trainable", "training"):
            row[slot] = {**row.get(slot, {}), **overrides.pop(slot, {})}
        return Regime(name=name, **{**row, **overrides})
    except (pydantic.ValidationError, TypeError) as error:
        detail = str(error).splitlines()
        raise InputError(
            f"Regime {name!r} with overrides. Wanted: fields of its four slots. "
            f"Received: {' '.join(line.strip() for line in detail[1:3]) or error}."
        ) from error


def check_effect(regime: Regime, field: str) -> None:
    """Checks that a field of `trainable` or `training` changes what a regime does.

    Raises:
        InputError: it does not.
    """
    moves = regime.trainable.moves
    fields = list(Training.model_fields) if regime.trains else []
    fields += ["batch_norm"] if regime.trains else []
    fields += _OF_ADAPTERS if moves == "lora" else []
    fields += _OF_REFITS if moves == "refit" else []
    if field in fields:
        return
    raise InputError(
        f"Wanted: a field that changes {regime.name}, which moves {moves}: "
        f"{', '.join(fields) or 'it has none'}. Received: {field}. "
        "Name another field or regime."
    )


def _check_effects(row: Regime, changed: Regime, slots: dict[str, Any]) -> None:
    """Checks that no override is without effect; values in force may be said."""
    slot = changed.trainable
    given = {**row.trainable.model_dump(), **row.training}
    default = Trainable(start=slot.start, moves=slot.moves).model_dump()
    whole = slots.get("trainable", {}).keys() >= Trainable.model_fields.keys()
    # A resolved recipe says every field of the slot, with or without effect.
    said = {} if whole else dict(slots.get("trainable", {}))
    for field, value in {**said, **slots.get("training", {})}.items():
        # What is no field at all is told, with the nearest, where it is used.
        known = field in Training.model_fields or field in Trainable.model_fields
        free = field in ("start", "moves") or not known
        if not free and value not in (given.get(field), default.get(field)):
            check_effect(changed, field)


def select(
    chosen: Iterable[str], overrides: dict[str, dict[str, Any]], has_source: bool
) -> list[Regime]:
    """Returns the regimes of a recipe in order, each once.

    Raises:
        InputError: unknown names, overrides of a name that ends in `+refit`, or a
            regime that needs a source survey without one.
    """
    for name, slots in overrides.items():  # also of regimes that are not run
        if _row(name) != name:
            raise InputError(
                f"Wanted: overrides of {_row(name)}, which {name} follows. Received: "
                f"overrides.{name}. Write overrides.{_row(name)}."
            )
        changed = base(slots) if name == "base" else get(name, slots)
        _check_effects(base() if name == "base" else get(name), changed, slots)
    regimes = [get(name, overrides.get(_row(name))) for name in dict.fromkeys(chosen)]
    if not regimes:
        raise InputError(
            f"Wanted: at least one regime of {', '.join(names())}. Received: none."
        )
    needy = [r.name for r in regimes if r.needs_source and not has_source]
    if needy:
        raise InputError(
            "Wanted: a source survey for regimes that start from a base model or train "
            f"on the union. Received: none, with regimes {', '.join(needy)}. "
            "Give --source, or a regime that needs none, such as from_scratch."
        )
    return regimes

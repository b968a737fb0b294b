"""Which columns and rows of a table count."""

import contextlib
from collections.abc import Collection, Sequence

import numpy as np

from kphotoz.errors import InputError
from kphotoz.evaluation.choice import Choice
from kphotoz.tables import column

__all__ = ["ID", "check_one_run", "group_column", "predicted", "reference", "select"]
__all__ += ["text_columns"]

# Our own column names; anything else must be named by the user, never guessed.
_PREDICTED, ID, _GROUP = "z_pred", "id", "group"
_REFERENCES = ("z_true", "redshift", "z_label")
# Columns that make several rows of one object, or several surveys, in one table.
_RUN_COLUMNS = ("regime", "seed", "fraction", "sample")
# What tells a table of `compare`, and one of `fit`, from a user's own.
_OURS = ({"regime", "seed"}, {"sample", "z_label", "z_pred"})

Columns = dict[str, np.ndarray]


def text_columns(choice: Choice) -> set[str]:
    """Returns the column to read as text: 19 digits do not survive as a float64."""
    return {choice.group or _GROUP} - {cut.name for cut in choice.by}


def group_column(columns: Collection[str], given: str | None) -> str | None:
    """Returns the column that tells rows of one object: the one given, or ours."""
    return given or (_GROUP if _GROUP in columns else None)


def predicted(columns: Columns, given: str | None) -> str | None:
    """Returns the column of predictions: the one given, or ours, None without it."""
    return given or (_PREDICTED if _PREDICTED in columns else None)


def reference(columns: Columns) -> str | None:
    """Returns the first of our columns of labels that holds one, None without it."""
    for name in _REFERENCES:
        values = columns.get(name)
        if values is not None and values.dtype.kind == "f":
            if np.isfinite(values).any():
                return name
    return None


def empty_reference(columns: Columns) -> str | None:
    """Returns the first of our columns of labels, whatever it holds."""
    return next((name for name in _REFERENCES if name in columns), None)


def select(columns: Columns, where: Sequence[str]) -> Columns:
    """Returns the rows for which every COL=VALUE holds.

    Args:
        columns: name -> array (n,).
        where: texts such as "regime=lora".

    Raises:
        InputError: a text is none such, a column is not there, or nothing is left.
    """
    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"Wanted: --where COL=VALUE. Received: {text!r}.")
        held = column(columns, name)
        try:
            keep = held == _as_held(value, held.dtype.kind)
        except ValueError:
            keep = np.zeros(held.size, bool)
        if not keep.any():
            some = ", ".join(map(str, np.unique(held)[:8]))
            raise InputError(
                f"Wanted: a value that column {name!r} holds. Received: {value!r}. "
                f"It holds {some}{' …' if np.unique(held).size > 8 else ''}."
            )
        columns = {key: values[keep] for key, values in columns.items()}
    return columns


def _as_held(value: str, kind: str) -> str | bool | int | float:
    """Returns a value as columns of this kind of dtype hold it.

    Raises:
        ValueError: it is no number.
    """
    if kind in "UO":
        return value
    if kind == "b" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind in "iu":
        with contextlib.suppress(ValueError):
            return int(value)  # ids of 19 digits share a float64 with others
    return float(value)


def check_one_run(columns: Columns, choice: Choice, where: str = "a table") -> None:
    """Checks that a table of `fit` or `compare` mixes no runs and no samples.

    Args:
        columns: name -> array.
        choice: Choice. What it divides by tells rows apart anyway.
        where: what the message calls the table.

    Raises:
        InputError: it mixes them; names a value to choose.
    """
    if not any(names <= set(columns) for names in _OURS):
        return
    split = {cut.name for cut in choice.by}
    held = [name for name in _RUN_COLUMNS if name in columns and name not in split]
    mixed = [name for name in held if np.unique(columns[name]).size > 1]
    if mixed:
        raise InputError(
            f"Wanted: one prediction an object. Received: {where} that mixes several "
            f"values of {', '.join(mixed)}. Choose one, for example --where "
            f"{mixed[0]}={columns[mixed[0]][0]}."
        )

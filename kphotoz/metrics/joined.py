"""Several tables of predictions brought to the objects that all of them have."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from kphotoz.errors import InputError

__all__ = ["Joined", "Side", "join"]


@dataclasses.dataclass(frozen=True)
class Side:
    """One table.

    Args:
        ids: array (n,) of str; "" where there is none.
        pred: array (n,) of predicted redshifts.
        true: array (n,) of reference redshifts, or None if the table has none.
        more: other columns, each an array (n,).
    """

    ids: np.ndarray
    pred: np.ndarray
    true: np.ndarray | None = None
    more: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Joined:
    """What the tables say of the objects common to all of them, in order of the ids.

    Attributes:
        ids: (n,) str.
        preds: dict name -> (n,).
        truth: (n,), of the first table that knows the object's.
        more: columns of the first table that has them.
        left_out: name -> reason -> number of its rows that are not here.
        truths_differ: objects whose tables give different truths, within tolerance.
        largest: float. The largest such difference.
    """

    ids: np.ndarray
    preds: dict[str, np.ndarray]
    truth: np.ndarray
    more: dict[str, np.ndarray]
    left_out: dict[str, dict[str, int]]
    truths_differ: int
    largest: float


def join(sides: Mapping[str, Side], tolerance: float = 0.0) -> Joined:
    """Returns the tables on their common objects; ids are compared as text, exactly.

    Args:
        sides: name -> Side, two or more.
        tolerance: float. Up to which truths of one object may differ [default: 0].

    Raises:
        InputError: an id stands twice in a table, no id is common to all tables, no
            table has a truth, or truths of an object differ by more than `tolerance`.
    """
    for name, side in sides.items():
        _check_unique(name, side.ids)
    held = [side.ids[side.ids != ""] for side in sides.values()]
    common = np.unique(functools.reduce(np.intersect1d, held))
    if not common.size:
        shown = "; ".join(f"{n}: {', '.join(s.ids[:3])}" for n, s in sides.items())
        raise InputError(
            f"Wanted: objects that all tables have. Received: ids such as {shown}. "
            "Name the id columns; ids are compared as text, digit by digit."
        )
    places = {name: _places(side.ids, common) for name, side in sides.items()}
    truths = {
        name: np.asarray(side.true, np.float64)[places[name]]
        for name, side in sides.items()
        if side.true is not None
    }
    truth, differ, largest = _truth(truths, common, tolerance)
    more: dict[str, np.ndarray] = {}
    for name, side in sides.items():
        for key, values in side.more.items():
            more.setdefault(key, values[places[name]])
    return Joined(
        ids=common,
        preds={n: np.asarray(s.pred, float)[places[n]] for n, s in sides.items()},
        truth=truth,
        more=more,
        left_out={n: _left_out(s.ids, common.size) for n, s in sides.items()},
        truths_differ=differ,
        largest=largest,
    )


def _check_unique(name: str, ids: np.ndarray) -> None:
    distinct, counts = np.unique(ids[ids != ""], return_counts=True)
    if np.any(counts > 1):
        twice = distinct[counts > 1]
        raise InputError(
            f"Wanted: each id once in {name}. Received: {twice.size} ids more than "
            f"once, first {str(twice[0])!r}. Keep one row of each, for example with "
            "--where."
        )


def _places(ids: np.ndarray, common: np.ndarray) -> np.ndarray:
    order = np.argsort(ids, kind="stable")
    return order[np.searchsorted(ids, common, sorter=order)]


def _left_out(ids: np.ndarray, common: int) -> dict[str, int]:
    without = int(np.count_nonzero(ids == ""))
    elsewhere = ids.size - without - common
    counts = {"without an id": without, "not in every table": elsewhere}
    return {reason: count for reason, count in counts.items() if count}


def _truth(
    truths: dict[str, np.ndarray], ids: np.ndarray, tolerance: float
) -> tuple[np.ndarray, int, float]:
    if not truths:
        raise InputError(
            "Wanted: a reference redshift in at least one table. Received: none. "
            "Name it with --true COL or TABLE:true=COL."
        )
    stack = np.stack(list(truths.values()))
    known = np.isfinite(stack)
    high = np.where(known, stack, -np.inf).max(0)
    low = np.where(known, stack, np.inf).min(0)
    spread = np.where(known.any(0), high - low, 0.0)
    # Truths written with a few digits less must not be refused over rounding.
    if np.any(beyond := spread > tolerance * (1 + 1e-9)):
        first = int(np.argmax(beyond))
        values = ", ".join(f"{name} {value[first]:g}" for name, value in truths.items())
        raise InputError(
            f"Wanted: one truth for each object, to {tolerance:g}. Received: "
            f"{np.count_nonzero(beyond)} of {ids.size} objects with different ones, "
            f"first {str(ids[first])!r}: {values}. Check the columns, take the truth "
            "of one table only, or raise --tolerance."
        )
    first_known = np.argmax(known, axis=0)
    truth = np.take_along_axis(stack, first_known[None], axis=0)[0]
    return truth, int(np.count_nonzero(spread > 0)), float(spread.max(initial=0.0))

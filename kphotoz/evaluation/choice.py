"""What is scored, and how: columns, cuts and the bootstrap."""

import dataclasses
from collections.abc import Sequence

from kphotoz.errors import InputError
from kphotoz.metrics import Window

__all__ = ["Choice", "Cut"]


@dataclasses.dataclass(frozen=True)
class Cut:
    """A column by which a table is divided.

    Args:
        name: str. The column.
        edges: list of float, ascending, or None: categories, or quartiles.
    """

    name: str
    edges: list[float] | None = None

    @classmethod
    def parse(cls, text: str) -> "Cut":
        """Returns the cut of a text such as "magnitude:18,20,22".

        Raises:
            InputError: fewer than two edges, or edges that do not ascend.
        """
        name, _, given = text.partition(":")
        if not given:
            return cls(name)
        try:
            edges = [float(part) for part in given.split(",")]
        except ValueError:
            edges = []
        if len(edges) < 2 or any(
            b <= a for a, b in zip(edges, edges[1:], strict=False)
        ):
            raise InputError(
                "Wanted: two or more ascending edges, as in --by magnitude:18,20,22. "
                f"Received: {given!r}."
            )
        return cls(name, edges)


@dataclasses.dataclass(frozen=True)
class Choice:
    """How tables are scored.

    Args:
        pred, true, id, weight, group: names of columns, None for kphotoz's own.
        where: texts COL=VALUE, all of which a row must fulfil.
        by: columns by whose parts the whole is divided as well.
        names: of metrics.
        windows: of redshift, None for all.
        grid: (low, high) or None. Redshifts outside are counted.
        tolerance: float. Up to which truths of one object may differ between tables.
        draws, seed: of the bootstrap.
    """

    pred: str | None
    true: str | None
    id: str | None
    weight: str | None
    group: str | None
    where: Sequence[str]
    by: Sequence[Cut]
    names: Sequence[str]
    windows: Sequence[Window | None]
    grid: tuple[float, float] | None
    tolerance: float
    draws: int
    seed: int

"""What a metric returns: a number with its error, its sample and its definition."""

import dataclasses
from typing import Any

from kphotoz.metrics.point import improves
from kphotoz.metrics.windows import Window

__all__ = ["Difference", "Estimate", "SMALLEST_BIN", "SMALLEST_SEEDS"]

# House rules: no number from fewer objects in a bin, no ordering from fewer seeds.
SMALLEST_BIN = 20
SMALLEST_SEEDS = 5


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One metric of one sample.

    Args:
        metric: str. Name, a key of `metrics.POINT`.
        value: float. NaN where `note` says why.
        error: float. Half the 15.8 to 84.1 % range of the bootstrap draws.
        n: int. Rows used: objects, unless several are one.
        excluded: dict. Reason -> rows left out for it; empty if none.
        window: Window or None, the range the objects lie in.
        definition: str. The formula, in words of dz = (z_pred - z_true)/(1 + z_true).
        n_effective: float. (sum of weights)^2 / sum of squares, of the sums of each
            object where several rows are one; n without either.
        flagged: dict. Reason -> objects that are odd, but used.
        seeds: int. Trained models averaged over [default: 1].
        note: str. Anything a reader must know [default: empty].
    """

    metric: str
    value: float
    error: float
    n: int
    excluded: dict[str, int]
    window: Window | None
    definition: str
    n_effective: float = float("nan")
    flagged: dict[str, int] = dataclasses.field(default_factory=dict)
    seeds: int = 1
    note: str = ""

    @property
    def n_excluded(self) -> int:
        """The number of objects left out, for whatever reason."""
        return sum(self.excluded.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values, the window as text or None."""
        plain = dataclasses.asdict(self)
        plain["window"] = None if self.window is None else str(self.window)
        return plain


@dataclasses.dataclass(frozen=True)
class Difference:
    """Metric of `a` minus metric of `b` on the same objects and seeds.

    Args:
        value: float. For signed metrics (biases) the difference of absolute values.
        error: float. Half the 15.8 to 84.1 % range of the paired bootstrap draws.
        resolved: bool. |value| > 2 error, from at least five seeds.
        seeds: int. Trained models on each side.
        n: int. Objects used, the same on both sides.
        metric: str. Name, a key of `metrics.POINT`.
        excluded: dict. Reason -> objects left out on both sides.
        definition: str. What was subtracted from what.
    """

    value: float
    error: float
    resolved: bool
    seeds: int
    n: int
    metric: str = ""
    excluded: dict[str, int] = dataclasses.field(default_factory=dict)
    definition: str = ""

    @property
    def better(self) -> str | None:
        """The better side, "a" or "b", or None when it is not resolved."""
        if not self.resolved:
            return None
        return "a" if improves(self.metric, self.value) else "b"

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return dataclasses.asdict(self)

"""The lines of a comparison: metrics, paired differences and costs."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kphotoz.metrics import Window

__all__ = ["Cost", "Pair", "Row", "finite"]

_KEYS = {"window", "fraction", "by", "stratum"}  # written in a way of their own


@dataclasses.dataclass(frozen=True)
class Row:
    """One metric of one regime on one sample.

    Args:
        sample: str. "source", "target", "both" or "deployment".
        truth: "label" or "z_true", what is scored against.
        metric: str. A key of `metrics.POINT`.
        value, error: float, NaN where nothing could be scored.
        n: int. Objects.
        regime: str. "" for the labels themselves, as predictions of the truth.
        fraction: float in (0, 1], share of the target's labels that were learned; None
            for what learns none.
        n_labels: int or None. Their number.
        window: Window of redshift, None for all.
        excluded, flagged: reason -> number of objects left out, or used although odd.
        note: str. What a reader must know besides.
        seeds: int. Trained models.
        by, stratum: str. The column that the sample is divided by, and the part; None
            for the whole sample.
    """

    sample: str
    truth: str
    metric: str
    value: float
    error: float
    n: int = 0
    regime: str = ""
    fraction: float | None = None
    n_labels: int | None = None
    window: Window | None = None
    excluded: Mapping[str, int] = dataclasses.field(default_factory=dict)
    flagged: Mapping[str, int] = dataclasses.field(default_factory=dict)
    note: str = ""
    seeds: int = 0
    by: str | None = None
    stratum: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Row":
        """Returns the row of what `as_dict` made, or of a file; gaps are allowed."""
        return cls(**_read(cls, values))

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, as they stand in comparison.json."""
        plain = _plain(self)
        if not self.regime:
            for name in ("regime", "fraction", "n_labels"):
                del plain[name]
        return plain

    @property
    def is_scored(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.value)


@dataclasses.dataclass(frozen=True)
class Pair:
    """The metric of `a` minus that of `b`, on the same objects and seeds.

    Args:
        a, b: str. Regimes.
        value: float. Of biases the difference of their sizes.
        error: float.
        resolved: bool. |value| > 2 error, from five seeds or more.
        fraction: float or None. The largest share of labels that either learned.
        n: int. Objects.

    All other arguments are those of `Row`.
    """

    a: str
    b: str
    sample: str
    truth: str
    metric: str
    value: float
    error: float
    resolved: bool
    fraction: float | None = None
    n: int = 0
    window: Window | None = None
    by: str | None = None
    stratum: str | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Pair":
        """Returns the pair of what `as_dict` made, or of a file; gaps are allowed."""
        return cls(**_read(cls, values))

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, as they stand in comparison.json."""
        return _plain(self)

    @property
    def sides(self) -> frozenset[str]:
        """Both regimes."""
        return frozenset((self.a, self.b))

    def turned(self, first: str) -> "Pair":
        """Returns the pair with `first` as its side a."""
        if self.a == first:
            return self
        return dataclasses.replace(self, a=self.b, b=self.a, value=-self.value)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one model costs: None where it is not known.

    Args:
        regime: str.
        fraction: float or None, as in `Row`.
        trainable_parameters, examples_seen: int.
        stored_bytes: int [byte].
        seconds: float [s].
        peak_memory_gib: float [GiB].
    """

    regime: str
    fraction: float | None = None
    trainable_parameters: int | None = None
    stored_bytes: int | None = None
    examples_seen: int | None = None
    seconds: float | None = None
    peak_memory_gib: float | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Cost":
        """Returns the cost of what `as_dict` made; gaps are allowed."""
        known = _known(cls, values)
        return cls(**known | {"fraction": known.get("fraction") or None})

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, as they stand in comparison.json."""
        return vars(self) | {"fraction": self.fraction or 0.0}


def finite(value: Any) -> float:
    """Returns a float, NaN for None: JSON has no NaN."""
    return float("nan") if value is None else float(value)


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(kind))
    return {name: values[name] for name in names if name in values}


def _read(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    known = _known(kind, values)
    fraction = finite(known.get("fraction"))
    known["fraction"] = fraction if math.isfinite(fraction) and fraction else None
    known |= {name: finite(known.get(name)) for name in ("value", "error")}
    window = known.get("window")
    known["window"] = Window.read(window) if isinstance(window, str) else window
    return {key: value for key, value in known.items() if value is not None}


def _plain(one: Row | Pair) -> dict[str, Any]:
    plain = {key: value for key, value in vars(one).items() if key not in _KEYS}
    plain["fraction"] = one.fraction or 0.0
    plain["window"] = None if one.window is None else str(one.window)
    if one.by is not None:
        plain |= {"by": one.by, "stratum": one.stratum}
    return plain

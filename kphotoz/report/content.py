"""A comparison as the tables, figures and page read it: ordered, gaps allowed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from kphotoz.metrics import Window
from kphotoz.metrics.groups import number_groups
from kphotoz.metrics.point import badness
from kphotoz.report.rows import Cost, Pair, Row
from kphotoz.report.style import SAMPLES

__all__ = ["Content", "Panel"]


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """Predictions of every regime on one sample, against one reference.

    Attributes:
        z: (n,) reference redshifts.
        preds: dict regime -> (seeds, n) predictions at its largest label fraction.
        magnitude: (n,) [mag], NaN where unknown.
        weights: (n,) or None.
        label, truth: (n,) labels and true redshifts, NaN where there are none.
        groups: (n,) int, equal for rows of one object, or None if all differ.
    """

    z: np.ndarray
    preds: dict[str, np.ndarray]
    magnitude: np.ndarray
    weights: np.ndarray | None
    label: np.ndarray
    truth: np.ndarray
    groups: np.ndarray | None = None


class Content:
    """A comparison dict with its parts in the order of the report.

    Args:
        comparison: dict as in comparison.json; every part but "rows" may be missing.
    """

    def __init__(self, comparison: Mapping[str, Any]) -> None:
        self.raw = comparison
        self.rows = list(map(Row.read, comparison.get("rows") or []))
        self.costs = list(map(Cost.read, comparison.get("costs") or []))
        self.samples = dict(comparison.get("samples") or {})
        described = dict(comparison.get("regimes") or {})
        self.regimes = _ordered([*(row.regime for row in self.rows), *described])
        self.described = described
        self.metrics = _ordered(row.metric for row in self.rows)
        self.windows = _ordered(row.window for row in self.rows) or [None]
        self._index = {
            (x.regime, x.fraction, x.sample, x.truth, x.metric, x.window): x
            for x in self.rows
        }
        pairs = list(map(Pair.read, comparison.get("differences") or []))
        self.differences = [d for d in pairs if d.metric == self.headline]
        self.more_differences = [d for d in pairs if d.metric != self.headline]
        self.strata = list(map(Row.read, comparison.get("strata") or []))
        self.strata_differences = list(
            map(Pair.read, comparison.get("strata_differences") or [])
        )
        floors = map(Row.read, comparison.get("floors") or [])
        self.floors = {(one.sample, one.metric): one for one in floors}

    def text(self, key: str, default: str = "") -> str:
        """Returns a part of the comparison as text."""
        value = self.raw.get(key)
        return default if value is None else str(value)

    @property
    def headline(self) -> str:
        """The metric that figures and the answer are about; "" without any."""
        recipe = self.raw.get("recipe") or {}
        evaluation = recipe.get("evaluation") or {}
        for name in (evaluation.get("headline"), "nmad", *self.metrics):
            if name in self.metrics:
                return name
        return ""

    @property
    def window(self) -> str:
        """The headline's window in words, with the redshift it cuts on."""
        return window_words(self.windows[0])

    @property
    def cases(self) -> list[tuple[str, str]]:
        """Samples with what they are scored against: deployment first, truth first."""
        places = _ordered((row.sample, row.truth) for row in self.rows)
        rank = {name: place for place, name in enumerate(SAMPLES)}
        return sorted(places, key=lambda c: (rank.get(c[0], 99), c[1] != "z_true"))

    def fractions(self, regime: str) -> list[float | None]:
        """Returns the label fractions of a regime, ascending; None: it learns none."""
        fractions = {row.fraction for row in self.rows if row.regime == regime}
        return sorted(fractions, key=lambda x: x or 0.0)

    def largest(self, regime: str) -> float | None:
        """Returns the largest label fraction of a regime, None if it learns none."""
        return (self.fractions(regime) or [None])[-1]

    def row(
        self,
        regime: str,
        sample: str,
        truth: str,
        metric: str,
        fraction: float | None | Literal["largest"] = "largest",
        window: Window | None | Literal["headline"] = "headline",
    ) -> Row | None:
        """Returns one row, or None.

        By default at the regime's largest fraction and in the headline's window.
        """
        used = self.largest(regime) if fraction == "largest" else fraction
        cut = self.windows[0] if window == "headline" else window
        return self._index.get((regime, used, sample, truth, metric, cut))

    def ranked(self, sample: str, truth: str) -> list[str]:
        """Returns the regimes with a finite headline value, best first."""
        values = {}
        for regime in self.regimes:
            row = self.row(regime, sample, truth, self.headline)
            if row and row.is_scored:
                values[regime] = badness(self.headline, row.value)
        return sorted(values, key=lambda regime: values[regime])

    def panel(
        self, predictions: Mapping[str, np.ndarray], sample: str, truth: str
    ) -> Panel | None:
        """Returns the predictions on a sample, or None when there are none.

        The rows of "deployment" are those of the recipe's deployment sample, and those
        of "both" are all, unless the predictions name these samples themselves.
        """
        names = np.asarray(predictions["sample"]).astype(str)
        if sample in names:
            inside = names == sample
        elif sample == "deployment":
            where = (self.raw.get("recipe") or {}).get("deployment") or {}
            inside = names == where.get("sample", "source")
        else:
            inside = np.full(names.size, sample == "both")
        chosen = {key: np.asarray(v)[inside] for key, v in predictions.items()}
        preds, first = {}, None
        for regime in self.regimes:
            models = self._models(chosen, regime)
            if models is not None:
                first = models[1] if first is None else first
                preds[regime] = models[0]
        if first is None:
            return None
        size = first.size
        preds = {name: pred for name, pred in preds.items() if pred.shape[1] == size}
        label, true = (_numbers(chosen, k, first) for k in ("z_label", "z_true"))
        weights = _numbers(chosen, "weight", first) if sample == "deployment" else None
        if weights is not None and not np.all(np.isfinite(weights)):
            weights = None
        z = true if truth == "z_true" else label
        magnitude = _numbers(chosen, "magnitude", first)
        groups = None
        if "group" in chosen:
            groups = number_groups(chosen["group"][first])
        return Panel(z, preds, magnitude, weights, label, true, groups)

    def _models(
        self, columns: dict[str, np.ndarray], regime: str
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns (seeds, n) predictions in the order of ids, and the first rows."""
        mine = np.asarray(columns["regime"]).astype(str) == regime
        if "fraction" in columns and mine.any():
            fraction = np.nan_to_num(np.asarray(columns["fraction"], np.float64))
            mine &= fraction == fraction[mine].max()
        rows = []
        for seed in np.unique(columns["seed"][mine]):
            place = np.flatnonzero(mine & (columns["seed"] == seed))
            names = np.asarray(columns["id"]).astype(str)[place]
            rows.append(place[np.argsort(names, kind="stable")])
        if not rows or any(row.size != rows[0].size for row in rows):
            return None
        pred = np.asarray(columns["z_pred"], np.float64)
        return np.stack([pred[row] for row in rows]), rows[0]


def excluded(value: Any) -> str:
    """Returns counted reasons of a row in words; "" for none."""
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {reason}" for reason, count in value.items())
    return f"{value} unusable" if value else ""


def _numbers(columns: dict[str, np.ndarray], key: str, rows: np.ndarray) -> np.ndarray:
    if key not in columns:
        return np.full(rows.size, np.nan)
    return np.asarray(columns[key], np.float64)[rows]


def window_words(window: Window | None) -> str:
    """Returns a window in words."""
    return "all redshifts, no window" if window is None else str(window)


def _ordered(values: Iterable) -> list:
    return list(dict.fromkeys(values))

"""Leaves out what cannot be scored, and says how much of what it was."""

import dataclasses

import numpy as np

from kphotoz.errors import InputError
from kphotoz.metrics.groups import number_groups, total_weights
from kphotoz.metrics.windows import Window

_HIGHEST = 30.0  # redshift of a label; above are sentinels, as 99


@dataclasses.dataclass(frozen=True)
class Screened:
    """Usable objects: preds (seeds, n), truth (n,), weights (n,) or (seeds, n)."""

    preds: np.ndarray
    truth: np.ndarray
    weights: np.ndarray | None
    excluded: dict[str, int]
    flagged: dict[str, int]
    rows: np.ndarray  # mask over the input
    # Whether `weights` is a bare 0/1 membership per seed, made here from the window.
    masked: bool = False
    # (n,) int, or None where each row is an object of its own.
    groups: np.ndarray | None = None

    @property
    def n(self) -> int:
        """The number of objects; in a window on z_pred the mean over the seeds."""
        if self.weights is None or self.weights.ndim == 1:
            return self.truth.size
        return round(float(np.count_nonzero(self.weights, axis=-1).mean()))

    @property
    def n_effective(self) -> float:
        """Returns (sum of weights)^2 / sum of squares, averaged over the seeds.

        Where several rows are one object their weights are added up first.
        """
        if self.weights is None and self.groups is None:
            return float(self.n)
        weights = self.weights
        if self.groups is not None:
            weights = total_weights(weights, self.groups)
        assert weights is not None
        total, squares = weights.sum(-1), (weights**2).sum(-1)
        return float(np.mean(total**2 / np.where(squares > 0, squares, np.nan)))


def screen(
    preds: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray | None,
    window: Window | None,
    grid: tuple[float, float] | None = None,
    groups: np.ndarray | None = None,
) -> Screened:
    """Returns the objects that every seed can be scored on.

    Left out, in this order and counted by name: labels that are not finite, negative
    (a star or a sentinel) or above 30 (a sentinel), predictions that are not finite or
    <= -1 (no redshift; the sentinels -1 and -99 are such), weights that are not finite
    or negative. Predictions between -1 and 0, and predictions and labels outside
    `grid`, are kept, since leaving out a model's bad answers would flatter it, but
    flagged.

    Where every prediction fails (a model that diverged) nothing is left, and n is 0.

    Raises:
        InputError: no usable label, no object in the window, or all weights are zero.
    """
    preds, truth, weights = _arrays(preds, truth, weights, groups)
    reasons = _reasons(preds, truth, weights)
    member, relevant = _members(preds, truth, window)
    left, excluded, unpredicted = _usable(reasons, relevant)
    rows = left & member.any(0)
    kept, masked = _kept_weights(weights, member, rows)
    failed = not rows.any() and unpredicted.any()
    if not failed and (not rows.any() or (kept is not None and not kept.any())):
        where = "" if window is None else f" in {window}"
        raise InputError(
            f"Wanted: at least one usable object{where}, of positive weight. "
            f"Received: {truth.size} rows, excluded {excluded or 'none'}. "
            "Check the columns and the window."
        )
    flagged = _flagged(preds[:, rows], truth[rows], grid)
    groups = None if groups is None else _kept_groups(groups, rows)
    return Screened(
        preds[:, rows],
        truth[rows],
        kept,
        excluded,
        flagged,
        rows,
        masked=masked,
        groups=groups,
    )


def _kept_groups(groups: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
    """Returns the groups of the rows, None if each row is a group of its own."""
    distinct, groups = np.unique(number_groups(groups)[rows], return_inverse=True)
    return None if distinct.size == groups.size else groups


def count_usable(
    preds: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray | None,
    window: Window | None,
) -> tuple[int, dict[str, int]]:
    """Returns the rows that `screen` keeps and that have any weight, and `excluded`."""
    preds, truth, weights = _arrays(preds, truth, weights, None)
    member, relevant = _members(preds, truth, window)
    left, excluded, _ = _usable(_reasons(preds, truth, weights), relevant)
    left &= member.any(0)
    if weights is not None:
        left &= weights > 0
    return int(np.count_nonzero(left)), excluded


def _usable(
    reasons: dict[str, np.ndarray], relevant: np.ndarray
) -> tuple[np.ndarray, dict[str, int], np.ndarray]:
    """Returns who is left, reason -> count, and who lacks nothing but a prediction."""
    left, unpredicted = np.ones(relevant.size, bool), np.zeros(relevant.size, bool)
    excluded = {}
    for reason, bad in reasons.items():
        if count := int(np.count_nonzero(bad & left & relevant)):
            excluded[reason] = count
        if reason.startswith("prediction"):
            unpredicted |= bad & left & relevant
        left &= ~bad
    return left, excluded, unpredicted


def _flagged(
    preds: np.ndarray, truth: np.ndarray, grid: tuple[float, float] | None
) -> dict[str, int]:
    """Returns reason -> objects used although odd, for any of the seeds."""
    odd = {"prediction negative": preds < 0}
    if grid is not None:
        low, high = grid
        odd["prediction out_of_grid"] = (preds < low) | (preds > high)
        odd["label out_of_grid"] = (truth < low)[None] | (truth > high)[None]
    counts = {reason: int(rows.any(0).sum()) for reason, rows in odd.items()}
    return {reason: count for reason, count in counts.items() if count}


def _arrays(
    preds: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray | None,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    truth = np.asarray(truth, np.float64)
    preds = np.atleast_2d(np.asarray(preds, np.float64))
    if weights is not None:
        weights = np.asarray(weights, np.float64)
    agree = truth.ndim == 1 and preds.ndim == 2 and preds.shape[1] == truth.size
    more = [one for one in (weights, groups) if one is not None]
    if not agree or any(np.shape(one) != truth.shape for one in more):
        raise ValueError(
            "Predictions (seeds, n) or (n,), references (n,), weights and groups (n,) "
            f"must agree. Received: {[np.shape(one) for one in (preds, truth, *more)]}."
        )
    return preds, truth, weights


def label_reasons(truth: np.ndarray) -> dict[str, np.ndarray]:
    """Returns reason -> who cannot be scored for the label, (n,) bool, no one twice.

    Args:
        truth: (n,) float64. Redshifts of reference.
    """
    return {
        "label non_finite": ~np.isfinite(truth),
        "label negative": (truth < 0) & np.isfinite(truth),
        "label above 30": (truth > _HIGHEST) & np.isfinite(truth),
    }


def _reasons(
    preds: np.ndarray, truth: np.ndarray, weights: np.ndarray | None
) -> dict[str, np.ndarray]:
    reasons = label_reasons(truth) | {
        "prediction non_finite": ~np.isfinite(preds).all(0),
        "prediction ≤ −1": (preds <= -1).any(0),
    }
    if weights is not None:
        reasons["weight non_finite or negative"] = ~np.isfinite(weights) | (weights < 0)
    return reasons


def _members(
    preds: np.ndarray, truth: np.ndarray, window: Window | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns who lies in the window (seeds, n), and whose exclusion matters (n,)."""
    if window is None:
        return np.ones((1, truth.size), bool), np.ones(truth.size, bool)
    predicted = window.on == "z_pred"
    values = preds if predicted else truth[None]
    member = window.contains(values)
    # Whether an unusable value would have fallen in the window is not known: count it.
    unusable = ~np.isfinite(values) | (values <= -1)
    unusable |= not predicted and values > _HIGHEST
    return member, (member | unusable).any(0)


def _kept_weights(
    weights: np.ndarray | None, member: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray | None, bool]:
    """Returns the weights of the rows, and whether they are only a membership."""
    weights = None if weights is None else weights[rows]
    if weights is not None and weights.size and weights[0] > 0:
        if np.all(weights == weights[0]):
            weights = None  # equal weights are no weights
    member = member[:, rows]
    if member.all():
        return weights, False
    if weights is None:
        return member.astype(np.float64), True
    return member * weights, False

"""One linear fit to rows that are read several times and need not fit in memory."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from kphotoz.errors import InputError
from kphotoz.kernels.least_squares import LeastSquares, Solver

__all__ = [
    *("RIDGES", "LinearFit", "Remembered", "check_ridge", "check_targets"),
    *("check_weights", "fit_rows", "parts"),
]

# Tried by leave-one-out, in units of the largest eigenvalue of the features: from the
# precision of float32 features to no fit at all. Our choice.
RIDGES = np.logspace(-14, 4, 73)
KEPT_BYTES = 2**28  # of rows between passes; more are made again. Our choice
_MOST_ROUNDS = 50  # of reweighting; our choice, a dozen settle
_SETTLED = 1e-6


class Remembered:
    """Blocks of rows that several passes read: kept if they are small, else made again.

    Args:
        make: function that returns an iterator of float arrays (n, columns), the same
            at every call.
    """

    def __init__(self, make: Callable[[], Iterator[np.ndarray]]) -> None:
        self._make = make
        self._kept: list[np.ndarray] | None = None
        self._small = True

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._kept is not None:
            yield from self._kept
            return
        kept, size = [], 0
        for block in self._make():
            size += block.nbytes
            if size > KEPT_BYTES:
                self._small = False
            if self._small:
                kept.append(block)
            else:
                kept.clear()
            yield block
        self._kept = kept if self._small else None


@dataclasses.dataclass(frozen=True)
class LinearFit:
    """What was fitted.

    Args:
        coefficients: float array (columns, outputs).
        ridge: float >= 0. As given, or as leave-one-out chose it.
        noise: float array (outputs,). Variance of targets of weight 1 about the fit.
        solver: Solver. Of the rows with their last weights.
    """

    coefficients: np.ndarray
    ridge: float
    noise: np.ndarray
    solver: Solver


def fit_rows(
    rows: Remembered,
    targets: np.ndarray,
    weights: np.ndarray,
    ridge: float | Literal["left_out"],
    reweight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    start: np.ndarray,
) -> LinearFit:
    """Returns the fit of targets by rows; never holds more than a block of them.

    Args:
        rows: blocks, float arrays (n, columns).
        targets: float array (n, outputs), checked.
        weights: float array (n,), checked.
        ridge: float >= 0 or "left_out", chosen with the first weights and kept from
            then on.
        reweight: None, or a function of targets and predictions that returns weights.
        start: float array (columns, outputs or 1). What the ridge pulls towards.

    Raises:
        InputError: not as many rows as targets, none, or weights that are no weights.
    """
    wanted = targets - _predictions(rows, targets, start) if start.any() else targets
    used = weights
    if reweight and start.any():  # else there are no predictions to weight by yet
        used = weights * check_weights(reweight(targets, targets - wanted), targets)
    solver = _reduced(rows, wanted, used)
    if ridge == "left_out":
        ridge = _best_ridge(solver, rows, wanted, used)
    coefficients = solver.solve(ridge) + start
    if reweight:
        after = _predictions(rows, targets, coefficients)
        for _ in range(_MOST_ROUNDS):
            before = after
            used = weights * check_weights(reweight(targets, after), targets)
            solver = _reduced(rows, wanted, used)
            coefficients = solver.solve(ridge) + start
            after = _predictions(rows, targets, coefficients)
            if np.abs(after - before).max() <= _SETTLED * (1 + np.abs(after).max()):
                break
    noise = _noise(solver, rows, targets, used, coefficients, ridge)
    return LinearFit(coefficients, ridge, noise, solver)


def parts(rows: Remembered, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields each block of rows with the parts of the arrays that belong to it.

    Raises:
        InputError: no rows, or not as many as the arrays have.
    """
    start, count = 0, len(arrays[0])
    for block in rows:
        part = slice(start, start + len(block))
        start += len(block)
        if start <= count:  # else counts on, to tell how many there are
            yield block, *(array[part] for array in arrays)
    if not start:
        raise InputError("Wanted: at least one row to fit. Received: none.")
    if start != count:
        raise InputError(
            f"Wanted: as many targets as rows, {start}. Received: {arrays[0].shape} "
            "targets. Give one for each."
        )


def _reduced(rows: Remembered, wanted: np.ndarray, weights: np.ndarray) -> Solver:
    squares: LeastSquares | None = None
    for block, *rest in parts(rows, wanted, weights):
        squares = squares or LeastSquares(block.shape[1], wanted.shape[1])
        squares.add(block, *rest)
    assert squares is not None  # `parts` refuses no rows
    return squares.solver()


def _best_ridge(
    solver: Solver, rows: Remembered, wanted: np.ndarray, weights: np.ndarray
) -> float:
    ridges = RIDGES * np.square(solver.values.max(initial=0.0))
    errors = solver.left_out(parts(rows, wanted, weights), ridges)
    return float(ridges[np.argmin(errors)])


def _predictions(
    rows: Remembered, targets: np.ndarray, coefficients: np.ndarray
) -> np.ndarray:
    return np.concatenate([block @ coefficients for block, _ in parts(rows, targets)])


def _noise(
    solver: Solver,
    rows: Remembered,
    targets: np.ndarray,
    weights: np.ndarray,
    coefficients: np.ndarray,
    ridge: float,
) -> np.ndarray:
    """Returns the variance of the targets of weight 1 about the fit, (outputs,)."""
    own, squares = 0.0, np.zeros(targets.shape[1])
    for block, target, weight in parts(rows, targets, weights):
        own += solver.leverages(block, ridge) @ weight
        squares += np.square(target - block @ coefficients).T @ weight
    return squares / max(np.count_nonzero(weights) - own, 1.0)


def check_targets(targets: Any) -> np.ndarray:
    """Returns targets as float64 (n, outputs).

    Raises:
        InputError: another shape, or values that are not finite.
    """
    targets = np.asarray(targets, np.float64)
    targets = targets[:, None] if targets.ndim == 1 else targets
    if targets.ndim != 2:
        raise InputError(
            "Wanted: targets of shape (n,) or (n, outputs). Received: shape "
            f"{targets.shape}. Reshape them."
        )
    _check_finite("targets", targets)
    return targets


def check_weights(weights: Any, targets: np.ndarray) -> np.ndarray:
    """Returns weights as float64 (n,), ones for None.

    Raises:
        InputError: not one for each target, negative, not finite, or all of them 0.
    """
    if weights is None:
        return np.ones(len(targets))
    weights = np.asarray(weights, np.float64)
    if weights.shape != targets.shape[:1]:
        raise InputError(
            f"Wanted: one weight for each of {len(targets)} targets. Received: shape "
            f"{weights.shape}. Give an array of shape ({len(targets)},)."
        )
    _check_finite("weights", weights[:, None])
    if len(weights) and ((weights < 0).any() or not weights.any()):
        raise InputError(
            "Wanted: weights >= 0, not all of them 0. Received: a smallest of "
            f"{weights.min():g}, a largest of {weights.max():g}. Leave rows out by 0."
        )
    return weights


def check_ridge(ridge: Any) -> float | Literal["left_out"]:
    """Returns the ridge, a finite number >= 0 or "left_out".

    Raises:
        InputError: anything else.
    """
    if isinstance(ridge, str) and ridge == "left_out":
        return "left_out"
    number = isinstance(ridge, int | float | np.number) and not isinstance(ridge, bool)
    if not number or not 0 <= ridge < np.inf:
        raise InputError(
            f"Wanted: a ridge >= 0 or 'left_out'. Received: {ridge!r}. 0 is the "
            "solution of least norm."
        )
    return float(ridge)


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise InputError(
            f"Wanted: finite {name}. Received: {values[bad[0]]} in row {bad[0]}. "
            "Leave such rows out."
        )

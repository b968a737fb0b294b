"""Newton's method for logistic regression on rows that are read in every round."""

import numpy as np

from kphotoz.kernels.least_squares import pseudo_inverse
from kphotoz.kernels.linear_fit import Remembered, parts

__all__ = ["minimize"]

_FLAT = 1e-9  # gradient per row and unit of the features; our choice
_HALVINGS = 30  # of a step; a billionth of Newton's. Our choice


def minimize(
    rows: Remembered,
    labels: np.ndarray,
    weights: np.ndarray,
    ridge: float,
    rounds: int,
    start: np.ndarray,
) -> tuple[np.ndarray, int, bool]:
    """Returns the coefficients, the rounds taken, and whether it converged.

    Args:
        rows: blocks, float arrays (n, columns).
        labels: int array (n,), from 0 to outputs - 1, or to 1 for one output.
        weights: float array (n,) >= 0.
        ridge: float >= 0.
        rounds: int > 0. The most of them.
        start: float array (columns, outputs).
    """
    best = start
    loss, gradient, curvature, size = _expanded(rows, labels, weights, ridge, best)
    for done in range(rounds):
        if np.abs(gradient).max() <= _FLAT * size:
            return best, done, True
        step = _step(curvature, gradient)
        # The loss is convex: a step that lowers it is there unless all is rounding.
        for _ in range(_HALVINGS):
            there = _expanded(rows, labels, weights, ridge, best + step)
            if there[0] < loss:
                break
            step = step / 2
        else:
            return best, done, True
        best = best + step
        loss, gradient, curvature, size = there
    return best, rounds, bool(np.abs(gradient).max() <= _FLAT * size)


def _step(curvature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Returns Newton's step, the shortest where several would do."""
    values, vectors = np.linalg.eigh(curvature)
    flat = gradient.T.ravel()  # one output after the other
    step = -(vectors @ (pseudo_inverse(values) * (vectors.T @ flat)))
    return step.reshape(gradient.shape[::-1]).T


def _expanded(
    rows: Remembered,
    labels: np.ndarray,
    weights: np.ndarray,
    ridge: float,
    coefficients: np.ndarray,
) -> tuple:
    """Returns loss, gradient, second derivatives, and the size of a gradient."""
    columns, outputs = coefficients.shape
    loss = ridge / 2 * np.square(coefficients).sum()
    gradient = ridge * coefficients
    curvature = np.zeros((outputs, columns, outputs, columns))
    size = 0.0
    for block, label, weight in parts(rows, labels, weights):
        entropy, pull, bend = _cross_entropy(block @ coefficients, label)
        loss += weight @ entropy
        gradient = gradient + block.T @ (weight[:, None] * pull)
        size += float(weight @ np.abs(block).max(axis=1))
        for one in range(outputs):
            for two in range(one + 1):
                scaled = (weight * bend(one, two))[:, None] * block
                curvature[one, :, two] += block.T @ scaled
    for one in range(outputs):
        for two in range(one):
            curvature[two, :, one] = curvature[one, :, two].T
    unknowns = columns * outputs
    flat = curvature.reshape(unknowns, unknowns)
    flat[np.diag_indices(unknowns)] += ridge
    return loss, gradient, flat, size


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple:
    """Returns the cross-entropy (n,), its gradient (n, outputs) and second derivatives.

    The last is a function of two outputs, which returns (n,).
    """
    if logits.shape[1] == 1:
        sign = np.where(labels == 1, -1.0, 1.0)
        logit = logits[:, 0]
        wrong = np.exp(-np.logaddexp(0.0, -sign * logit))  # sigmoid, never 0 / 0
        bent = wrong * np.exp(-np.logaddexp(0.0, sign * logit))
        entropy = np.logaddexp(0.0, sign * logit)
        return entropy, (sign * wrong)[:, None], lambda one, two: bent
    every = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(axis=1)
    chances = powers / total[:, None]
    entropy = np.log(total) - shifted[every, labels]
    pull = chances.copy()
    pull[every, labels] -= 1.0

    def bend(one: int, two: int) -> np.ndarray:
        return chances[:, one] * ((one == two) - chances[:, two])

    return entropy, pull, bend

"""Linear least squares from rows that come in blocks, with or without a ridge.

The rows are reduced by orthogonal transformations to a triangle of the size of the
features, so that any number of them fits, and nothing is squared on the way: the
singular values of the triangle are those of the features.

Source: Golub & Van Loan 2013, Matrix Computations, section 5.5.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

__all__ = ["LeastSquares", "Solver", "pseudo_inverse"]


class LeastSquares:
    """Accumulates features and targets, block by block.

    Args:
        features: int. Columns of the features, the constant among them.
        outputs: int. Columns of the targets.
    """

    def __init__(self, features: int, outputs: int) -> None:
        self.features, self.outputs, self.rows = features, outputs, 0
        self._triangle = np.zeros((0, features + outputs))
        self._waiting: list[np.ndarray] = []

    def add(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> None:
        """Takes in a block of rows.

        Args:
            features: float array (n, features).
            targets: float array (n, outputs).
            weights: float array (n,) >= 0, of the squared errors. [default: ones]
        """
        block = np.concatenate([features, targets], axis=1, dtype=np.float64)
        if weights is not None:
            block *= np.sqrt(weights)[:, None]
        self._waiting.append(block)
        self.rows += len(block)
        # Four triangles at a time: with fewer the triangle itself costs the most.
        if sum(map(len, self._waiting)) >= 4 * self._triangle.shape[1]:
            self._reduce()

    def _reduce(self) -> None:
        stacked = np.concatenate([self._triangle, *self._waiting])
        # asarray changes nothing: numpy's hints tell of a pair, whatever the mode.
        self._triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
        self._waiting = []

    def solver(self) -> "Solver":
        """Returns the solutions for what came in so far."""
        self._reduce()
        triangle, targets = np.split(self._triangle, [self.features], axis=1)
        u, s, v = np.linalg.svd(triangle, full_matrices=False)
        return Solver(s, v, u.T @ targets, self.rows)


@dataclasses.dataclass(frozen=True)
class Solver:
    """Solutions of ``min |features @ c - targets|^2 + ridge |c|^2`` for any ridge.

    Args:
        values: float array (k,). Singular values of the features, falling.
        directions: float array (k, features). Their right singular vectors.
        projected: float array (k, outputs). Left singular vectors times the targets.
        rows: int. Rows that came in.
    """

    values: np.ndarray
    directions: np.ndarray
    projected: np.ndarray
    rows: int

    @property
    def rank(self) -> int:
        """The numerical rank of the features, by numpy's rule for `matrix_rank`."""
        largest = self.values.max(initial=0.0)
        sizes = max(self.rows, self.directions.shape[1])
        limit = largest * sizes * np.finfo(float).eps
        return int(np.count_nonzero(self.values > limit))

    def solve(self, ridge: float = 0.0) -> np.ndarray:
        """Returns the coefficients (features, outputs).

        Args:
            ridge: float >= 0. At 0 the solution of least norm. [default: 0]
        """
        return self.directions.T @ self._along(ridge)

    def leverages(self, features: np.ndarray, ridge: float = 0.0) -> np.ndarray:
        """Returns x (X'X + ridge)^-1 x' of each row x, (n,).

        Times the weight of a row it is its pull on its own prediction; times the
        variance of the noise it is the variance of what is predicted there.
        """
        features = np.asarray(features, np.float64)
        along = features @ self.directions.T
        leverages = np.square(along) @ self._inverse(ridge)
        if ridge:  # all that no row has seen is held by the ridge alone
            kept = np.square(along[:, : self.rank]).sum(axis=1)
            unseen = np.square(features).sum(axis=1) - kept
            leverages += np.maximum(unseen, 0.0) / ridge
        return leverages

    def left_out(
        self,
        blocks: Iterable[tuple[np.ndarray, ...]],
        ridges: np.ndarray,
    ) -> np.ndarray:
        """Returns the mean squared error on rows left out one at a time, per ridge.

        Args:
            blocks: features, targets and weights, the rows that came in.
            ridges: float array (r,).

        Returns:
            float array (r,); infinite where a row fits itself alone.

        Source: Allen 1974, Technometrics 16, 125 (PRESS).
        """
        total, weight = np.zeros(len(ridges)), 0.0
        inverses = np.stack([self._inverse(ridge) for ridge in ridges])
        for features, targets, weights in blocks:
            along = np.asarray(features, np.float64) @ self.directions.T
            own = np.square(along) @ inverses.T * weights[:, None]
            free = 1.0 - own
            for index, ridge in enumerate(ridges):
                error = targets - along @ self._along(ridge)
                square = np.square(error).sum(axis=1) * weights
                with np.errstate(divide="ignore", invalid="ignore"):
                    each = np.where(
                        free[:, index] > 1e-10, square / free[:, index] ** 2, np.inf
                    )
                total[index] += np.where(weights > 0, each, 0.0).sum()
            weight += weights.sum()
        return total / weight

    def _along(self, ridge: float) -> np.ndarray:
        """Returns the coefficients along the directions, (k, outputs)."""
        return (self._inverse(ridge) * self.values)[:, None] * self.projected

    def _inverse(self, ridge: float) -> np.ndarray:
        kept = np.arange(len(self.values)) < self.rank
        bottom = np.where(kept, np.square(self.values) + ridge, 1.0)
        return np.where(kept, 1.0 / bottom, 0.0)


def pseudo_inverse(values: np.ndarray) -> np.ndarray:
    """Returns 1 / eigenvalues, and 0 for those that are rounding errors.

    Args:
        values: float array (k,). By numpy's rule for `matrix_rank` those count that
            exceed the largest times k times the precision.
    """
    limit = values.max(initial=0.0) * len(values) * np.finfo(float).eps
    kept = values > limit
    return np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)

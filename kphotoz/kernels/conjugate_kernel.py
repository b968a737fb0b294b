"""Regression with the kernel that a trained network's last features make.

Source: Qadeer et al. 2023, arXiv 2310.18612.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras
import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.kernels.features import Features, last_linear
from kphotoz.kernels.least_squares import LeastSquares, Solver

__all__ = ["ConjugateKernel", "RIDGES"]

# Tried by leave-one-out, in units of the largest eigenvalue of the features: from the
# precision of float32 features to no fit at all. Our choice.
RIDGES = np.logspace(-14, 4, 73)
_MOST_ROUNDS = 50  # of reweighting; our choice, a dozen settle
_SETTLED = 1e-6


class ConjugateKernel:
    """Least squares on what a network's last layer reads, and a constant.

    The predictor equals kernel regression with ``K(x, x') = h(x) . h(x') + 1``, h the
    features, solved with as many unknowns as features: no gradient, one pass over the
    inputs, exact.

    Args:
        model: keras.Model. A graph; it is not changed.
        layer: str or None. Whose outputs are the features. [default: those that the
            last layer reads, which must be Dense and linear]
        around: "zero", or "network" to fit what the network leaves over: a ridge then
            pulls towards the network instead of zero. [default: "zero"]
        batch_size: int. Rows at a time. [default: 256]

    Raises:
        InputError: a model without such a layer.
    """

    def __init__(
        self,
        model: keras.Model,
        layer: str | None = None,
        *,
        around: Literal["zero", "network"] = "zero",
        batch_size: int = 256,
    ) -> None:
        if around not in ("zero", "network"):
            raise unknown("around", around, ("zero", "network"))
        if around == "network" and layer is not None:
            raise InputError(
                "Wanted: around='network' with the features of the last layer. "
                f"Received: {layer=}. Leave out one of the two."
            )
        self.model = model
        self.features = Features(model, layer, batch_size)
        self._head = last_linear(model) if layer is None else None
        self._around = around
        self.coefficients: np.ndarray | None = None
        self.ridge: float | None = None
        self.noise: np.ndarray | None = None
        self._solver: Solver | None = None

    def fit(
        self,
        inputs: Any,
        targets: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        ridge: float | Literal["left_out"] = 0.0,
        reweight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> "ConjugateKernel":
        """Solves for the coefficients; returns self.

        Args:
            inputs: what the model takes, an array (n, ...) or a dict of such.
            targets: float array (n,) or (n, outputs).
            weights: float array (n,) >= 0, of squared errors. [default: ones]
            ridge: float >= 0; 0 is the least squares solution of least norm, as in the
                paper. "left_out" takes the one of `RIDGES`, times the largest
                eigenvalue, with the smallest error of rows left out one at a time.
            reweight: None, or a function from targets and predictions (n, outputs) to
                weights (n,), for losses that are not squared errors: solved again with
                its weights until the predictions stay. Our extension.

        Raises:
            InputError: no rows, lengths that differ, values that are not finite.
        """
        features = np.concatenate([*self._rows(inputs)] or [np.empty((0, 1))])
        targets, weights = _checked(features, targets, weights, ridge)
        start = self._start()
        wanted = targets - features @ start
        found = self._solve(features, wanted, weights, ridge)
        for _ in range(_MOST_ROUNDS if reweight else 0):
            before = features @ (found + start)
            found = self._solve(
                features, wanted, weights * reweight(targets, before), ridge
            )
            after = features @ (found + start)
            if np.abs(after - before).max() <= _SETTLED * (1 + np.abs(after).max()):
                break
        self.coefficients = found + start
        return self

    def _solve(self, features, wanted, weights, ridge) -> np.ndarray:
        squares = LeastSquares(features.shape[1], wanted.shape[1])
        step = 4 * features.shape[1]  # four triangles at a time
        parts = [slice(at, at + step) for at in range(0, len(features), step)]
        for part in parts:
            squares.add(features[part], wanted[part], weights[part])
        solver = squares.solver()
        if ridge == "left_out":
            ridges = RIDGES * np.square(solver.values.max(initial=0.0))
            blocks = ((features[p], wanted[p], weights[p]) for p in parts)
            ridge = float(ridges[np.argmin(solver.left_out(blocks, ridges))])
        found = solver.solve(ridge)
        self._solver, self.ridge = solver, ridge
        self.noise = self._noise(features, wanted - features @ found, weights)
        return found

    def _noise(self, features, errors, weights) -> np.ndarray:
        """Returns the variance of the targets of weight 1 about the fit, (outputs,)."""
        own = self._solver.leverages(features, self.ridge) * weights
        free = max(np.count_nonzero(weights) - own.sum(), 1.0)
        return np.square(errors).T @ weights / free

    def predict(self, inputs: Any) -> np.ndarray:
        """Returns predictions (n, outputs).

        Raises:
            InputError: before `fit`.
        """
        self._check_fitted()
        found = [rows @ self.coefficients for rows in self._rows(inputs)]
        return np.concatenate(found or [np.empty((0, self.coefficients.shape[1]))])

    def variance(self, inputs: Any) -> np.ndarray:
        """Returns the variance of the fit at the inputs, (n, outputs).

        As a Gaussian process with this kernel sees it, with the noise taken from the
        errors of the fit; the scatter of new targets has `noise` besides.

        Raises:
            InputError: before `fit`.
        """
        self._check_fitted()
        pulls = [
            self._solver.leverages(rows, self.ridge) for rows in self._rows(inputs)
        ]
        return np.concatenate(pulls or [np.empty(0)])[:, None] * self.noise

    def refit(self) -> keras.Model:
        """Returns a copy of the model, uncompiled, with the solution as last layer.

        Raises:
            InputError: before `fit`, or with features of a named layer.
        """
        self._check_fitted()
        if self._head is None:
            raise InputError(
                "Wanted: features of the last layer, to replace it. Received: those of "
                f"{self.features.layer}. Leave out `layer`."
            )
        model = keras.models.clone_model(self.model)
        model.set_weights(self.model.get_weights())
        head = last_linear(model)
        kernel, bias = self.coefficients[:-1], self.coefficients[-1]
        head.kernel.assign(kernel.astype("float32"))
        if head.use_bias:
            head.bias.assign(bias.astype("float32"))
        return model

    def project(self, inputs: Any) -> "ConjugateKernel":
        """Fits the network's own outputs instead of targets; returns self.

        What is left over is what the kernel cannot say: nothing, for the last layer.

        Args:
            inputs: what the model takes.
        """
        outputs = self.model.predict(inputs, self.features.batch_size, verbose=0)
        return self.fit(inputs, np.reshape(outputs, (len(outputs), -1)))

    def _rows(self, inputs: Any) -> Iterator[np.ndarray]:
        bias = self._head is None or self._head.use_bias
        for block in self.features.blocks(inputs):
            # A layer without bias gets none: the column stays, and its coefficient 0.
            yield np.concatenate([block, np.full((len(block), 1), float(bias))], axis=1)

    def _start(self) -> np.ndarray:
        """Returns the coefficients that a ridge pulls towards."""
        if self._around == "zero":
            return np.zeros((self.features.width + 1, 1))
        kernel = keras.ops.convert_to_numpy(self._head.kernel).astype("float64")
        bias = np.zeros(kernel.shape[1])
        if self._head.use_bias:
            bias = keras.ops.convert_to_numpy(self._head.bias).astype("float64")
        return np.concatenate([kernel, bias[None]])

    def _check_fitted(self) -> None:
        if self.coefficients is None:
            raise InputError(
                "Wanted: a fitted kernel. Received: one without data. Call fit first."
            )


def _checked(
    features: np.ndarray, targets: Any, weights: Any, ridge: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Returns targets (n, outputs) and weights (n,), checked."""
    targets = np.asarray(targets, np.float64)
    targets = targets[:, None] if targets.ndim == 1 else targets
    weights = np.ones(len(targets)) if weights is None else np.asarray(weights, float)
    if not len(features):
        raise InputError("Wanted: at least one row to fit. Received: none.")
    if targets.ndim != 2 or not len(features) == len(targets) == len(weights):
        raise InputError(
            f"Wanted: as many targets and weights as inputs, {len(features)}. "
            f"Received: {targets.shape} targets, {weights.shape} weights."
        )
    for name, values in (("targets", targets.T), ("weights", weights[None])):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
        if len(bad):
            raise InputError(
                f"Wanted: finite {name}. Received: {values[:, bad[0]]} in row "
                f"{bad[0]}. Leave such rows out."
            )
    if (weights < 0).any() or not weights.any():
        raise InputError(
            "Wanted: weights >= 0, not all of them 0. Received: a smallest of "
            f"{weights.min():g}, a largest of {weights.max():g}."
        )
    if ridge != "left_out" and not (isinstance(ridge, int | float) and 0 <= ridge):
        raise InputError(f"Wanted: a ridge >= 0 or 'left_out'. Received: {ridge!r}.")
    return targets, weights

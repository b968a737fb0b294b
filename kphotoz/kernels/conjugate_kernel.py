"""Regression with the kernel that a trained network's last features make.

Source: Qadeer et al. 2023, arXiv 2310.18612.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import keras
import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.kernels.features import check_again
from kphotoz.kernels.head import last_linear
from kphotoz.kernels.last_layer import LastLayerFit, check_fitted
from kphotoz.kernels.least_squares import Solver
from kphotoz.kernels.linear_fit import (
    RIDGES,
    Remembered,
    check_ridge,
    check_targets,
    check_weights,
    fit_rows,
)

__all__ = ["ConjugateKernel", "RIDGES"]


class ConjugateKernel(LastLayerFit):
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
        super().__init__(model, layer, batch_size, last_linear)
        self._around = around
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

        Memory does not grow with rows beyond the targets: features that are more than
        a quarter of a gigabyte are computed anew for every pass, of which there are
        two, three with ridge="left_out", and two more for each round of reweighting.

        Args:
            inputs: what the model takes: an array (n, ...), also one on disk such as
                `numpy.memmap` or an h5py dataset, a dict of such, or batches of either
                that can be iterated over again and again.
            targets: float array (n,) or (n, outputs).
            weights: float array (n,) >= 0, of squared errors. [default: ones]
            ridge: float >= 0; 0 is the least squares solution of least norm, as in the
                paper. "left_out" takes the one of `RIDGES`, times the largest
                eigenvalue, with the smallest error of rows left out one at a time.
            reweight: None, or a function from targets and predictions (n, outputs) to
                weights (n,), for losses that are not squared errors: solved again with
                its weights until the predictions stay. Our extension. A ridge that is
                chosen is chosen before the first round.

        Raises:
            InputError: no rows, lengths that differ, values that are not finite, or
                batches that can be iterated over once only.
        """
        check_again(inputs)
        make = functools.partial(self._rows, inputs)
        return self._fit(make, targets, weights, ridge, reweight)

    def fit_features(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        ridge: float | Literal["left_out"] = 0.0,
        reweight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> "ConjugateKernel":
        """Solves from features that are known already; returns self.

        Args:
            features: float array (n, width), without the constant: the blocks of
                `self.features` one below the other.
            targets, weights, ridge, reweight: as in `fit`.

        Raises:
            InputError: as `fit`, or features of another width.
        """
        shape, width = np.shape(features), self.features.width
        if len(shape) != 2 or shape[1] != width:
            raise InputError(
                f"Wanted: features of shape (n, {width}), of {self.features.layer}. "
                f"Received: shape {shape}. Compute them with this kernel's `features`."
            )

        def make() -> Iterator[np.ndarray]:
            return self._with_constant(self.features.sliced(features))

        return self._fit(make, targets, weights, ridge, reweight)

    def _fit(
        self,
        make: Callable[[], Iterator[np.ndarray]],
        targets: Any,
        weights: Any,
        ridge: Any,
        reweight: Callable[[np.ndarray, np.ndarray], np.ndarray] | None,
    ) -> "ConjugateKernel":
        targets = check_targets(targets)
        weights = check_weights(weights, targets)
        fit = fit_rows(
            Remembered(make),
            targets,
            weights,
            check_ridge(ridge),
            reweight,
            self._start(targets.shape[1]),
        )
        self.coefficients, self.ridge = fit.coefficients, fit.ridge
        self.noise, self._solver = fit.noise, fit.solver
        return self

    def solutions(self, ridges: Iterable[float]) -> Iterator[np.ndarray]:
        """Yields the coefficients of the last `fit` with other ridges, without a pass.

        Args:
            ridges: floats >= 0.

        Returns:
            iterator of float arrays (width + 1, outputs), as `coefficients`.

        Raises:
            InputError: before `fit`.
        """
        coefficients = check_fitted(self.coefficients)
        solver = check_fitted(self._solver)
        start = self._start(coefficients.shape[1])
        return (solver.solve(ridge) + start for ridge in ridges)

    def predict(self, inputs: Any) -> np.ndarray:
        """Returns predictions (n, outputs).

        Raises:
            InputError: before `fit`.
        """
        coefficients = check_fitted(self.coefficients)
        predictions = [rows @ coefficients for rows in self._rows(inputs)]
        return np.concatenate(predictions or [np.empty((0, coefficients.shape[1]))])

    def variance(self, inputs: Any) -> np.ndarray:
        """Returns the variance of the fit at the inputs, (n, outputs).

        As a Gaussian process with this kernel sees it, with the noise taken from the
        errors of the fit; the scatter of new targets has `noise` besides.

        Raises:
            InputError: before `fit`.
        """
        solver, ridge = check_fitted(self._solver), check_fitted(self.ridge)
        pulls = [solver.leverages(rows, ridge) for rows in self._rows(inputs)]
        return np.concatenate(pulls or [np.empty(0)])[:, None] * self.noise

    def project(self, inputs: Any) -> "ConjugateKernel":
        """Fits the network's own outputs instead of targets; returns self.

        What is left over is what the kernel cannot say: nothing, for the last layer.

        Args:
            inputs: what the model takes.
        """
        outputs = self.model.predict(inputs, self.features.batch_size, verbose=0)
        return self.fit(inputs, np.reshape(outputs, (len(outputs), -1)))

    def _start(self, outputs: int) -> np.ndarray:
        """Returns the coefficients that a ridge pulls towards."""
        if self._around == "zero":
            return np.zeros((self.features.width + 1, outputs))
        assert self._head is not None  # __init__ refuses a named layer with "network"
        kernel = keras.ops.convert_to_numpy(self._head.kernel).astype("float64")
        bias = np.zeros(kernel.shape[1])
        if self._head.use_bias:
            bias = keras.ops.convert_to_numpy(self._head.bias).astype("float64")
        if outputs != len(bias):
            raise InputError(
                f"Wanted: targets of the network's {len(bias)} outputs, around which "
                f"to fit. Received: {outputs}. Leave out around='network'."
            )
        return np.concatenate([kernel, bias[None]])

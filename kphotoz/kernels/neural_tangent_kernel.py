"""Regression with the kernel of a network's derivatives by its parameters.

Source: Jacot et al. 2018, arXiv 1806.07572; Qadeer et al. 2023, arXiv 2310.18612.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np

from kphotoz import backend
from kphotoz.adapters.inventory import adapters_of
from kphotoz.errors import InputError, unknown
from kphotoz.kernels.features import batches
from kphotoz.kernels.last_layer import check_fitted
from kphotoz.kernels.least_squares import pseudo_inverse
from kphotoz.kernels.linear_fit import RIDGES, check_ridge, check_targets

__all__ = ["LARGEST", "NeuralTangentKernel"]

LARGEST = 2**30  # bytes of derivatives, or of a kernel matrix, in memory. Our choice
_BLOCK = 2**26  # bytes of derivatives computed at a time; our choice


class NeuralTangentKernel:
    """Least squares on a network's derivatives by its trainable parameters.

    ``K(x, x') = J(x) J(x')'``, J (outputs, parameters) the derivatives of what the
    network predicts, as it stands: no infinite width, no average over initial values.
    Around "network" the fit is the network made linear in its parameters. Solved with
    as many unknowns as rows times outputs, so it is for small networks and few rows.

    Args:
        model: keras.Model with one output. It is not changed.
        around: "zero" as in Qadeer et al., or "network" to fit what the network leaves
            over. [default: "zero"]
        batch_size: int. The most rows at a time. [default: 256]

    Raises:
        InputError: several outputs, nothing that trains, or an adapter with DoRA, whose
            gradients are not the derivatives of what it predicts.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        around: Literal["zero", "network"] = "zero",
        batch_size: int = 256,
    ) -> None:
        if around not in ("zero", "network"):
            raise unknown("around", around, ("zero", "network"))
        self.model, self._around, self._batch_size = model, around, batch_size
        self.parameters = _count(model)
        self._jacobian = backend.per_example_jacobian(model)
        self.displacement: np.ndarray | None = None
        self.ridge: float | None = None
        self.noise: float | None = None
        self._rows: np.ndarray | None = None
        self._spectrum: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, one: Any, two: Any = None) -> np.ndarray:
        """Returns the kernel matrix, float64 (n * outputs, m * outputs).

        The outputs of an example are next to one another.

        Args:
            one: inputs, n examples: array (n, ...), or a dict of such by name.
            two: inputs, m examples. [default: `one`]

        Raises:
            InputError: more than `LARGEST` bytes.
        """
        rows = self.derivatives(one if two is None else two)
        if two is None:
            self._check_size(len(rows), len(rows), "kernel of rows * outputs squared")
            return rows @ rows.T
        blocks, held = [np.empty((0, len(rows)))], 0
        for block in self._blocks(one):
            held += len(block)
            self._check_size(held, len(rows), "kernel of rows * outputs by rows")
            blocks.append(block @ rows.T)
        return np.concatenate(blocks)

    def derivatives(self, inputs: Any) -> np.ndarray:
        """Returns the derivatives of what is predicted, float64 (n * outputs, p).

        Args:
            inputs: array (n, ...), or a dict of such by name.

        Raises:
            InputError: more than `LARGEST` bytes, or values that are not finite.
        """
        first = next(batches(inputs, 1), None)
        if first is None:
            return np.empty((0, self.parameters))
        outputs = self._network(first).shape[1]
        rows = outputs * sum(len(_any(batch)) for batch in batches(inputs, 2**14))
        named = "derivatives of rows * outputs by parameters"
        self._check_size(rows, self.parameters, named)
        jacobian = np.empty((rows, self.parameters))
        start = 0
        for block in self._blocks(inputs):
            jacobian[start : start + len(block)] = block
            start += len(block)
        return jacobian

    def fit(
        self,
        inputs: Any,
        targets: np.ndarray,
        *,
        ridge: float | Literal["left_out"] = 0.0,
    ) -> "NeuralTangentKernel":
        """Solves for the displacement of the parameters; returns self.

        Args:
            inputs: array (n, ...), or a dict of such by name.
            targets: float array (n,) or (n, outputs).
            ridge: float >= 0; 0 is the solution of least norm, by the pseudo-inverse of
                the kernel matrix. "left_out" takes the one of `RIDGES`, times the
                largest eigenvalue, with the smallest error of rows left out one at a
                time.

        Raises:
            InputError: no rows, lengths that differ, values that are not finite, or
                more than `LARGEST` bytes.
        """
        targets, ridge = check_targets(targets), check_ridge(ridge)
        rows = self.derivatives(inputs)
        if not len(rows):
            raise InputError("Wanted: at least one row to fit. Received: none.")
        if targets.size != len(rows):
            raise InputError(
                f"Wanted: a target for each output of each row, {len(rows)}. Received: "
                f"shape {targets.shape}. Give (rows, outputs)."
            )
        self._check_size(len(rows), len(rows), "kernel of rows * outputs squared")
        wanted = (targets - self._start(inputs, targets)).ravel()
        values, vectors = np.linalg.eigh(rows @ rows.T)
        values = np.maximum(values, 0.0)
        if ridge == "left_out":
            ridge = _best_ridge(values, vectors, wanted, targets.shape[1])
        inverse = _inverse(values, ridge)
        dual = vectors @ (inverse * (vectors.T @ wanted))
        self.displacement, self.ridge = rows.T @ dual, ridge
        self._rows, self._spectrum = rows, (values, vectors)
        errors = wanted - rows @ self.displacement
        free = max(len(rows) - float(values @ inverse), 1.0)
        self.noise = float(errors @ errors / free)
        return self

    def predict(self, inputs: Any) -> np.ndarray:
        """Returns predictions (n, outputs).

        Raises:
            InputError: before `fit`.
        """
        check_fitted(self.displacement)
        predictions = []
        for batch in batches(inputs, self._batch_size):
            blocks = [block @ self.displacement for block in self._blocks(batch)]
            pulled = np.concatenate(blocks).reshape(len(_any(batch)), -1)
            predictions.append(pulled + self._start(batch, pulled))
        return np.concatenate(predictions or [np.empty((0, 1))])

    def variance(self, inputs: Any) -> np.ndarray:
        """Returns the variance of the fit at the inputs, (n, outputs).

        As a Gaussian process with this kernel sees it, with the noise taken from the
        errors of the fit and the kernel's scale from noise over ridge.

        Raises:
            InputError: before `fit`, or after one without ridge.
        """
        check_fitted(self.displacement)
        if not self.ridge:
            raise InputError(
                "Wanted: a fit with a ridge, noise over scale of the kernel. Received: "
                "ridge=0, which says nothing of the scale. Use ridge='left_out'."
            )
        values, vectors = check_fitted(self._spectrum)
        trained, noise = check_fitted(self._rows), check_fitted(self.noise)
        inverse = _inverse(values, self.ridge)
        variances = []
        for batch in batches(inputs, self._batch_size):
            left = []
            for rows in self._blocks(batch):
                known = np.square(rows @ trained.T @ vectors) @ inverse
                left.append(np.maximum(np.square(rows).sum(axis=1) - known, 0.0))
            scaled = noise / self.ridge * np.concatenate(left)
            variances.append(scaled.reshape(len(_any(batch)), -1))
        return np.concatenate(variances or [np.empty((0, 1))])

    def _blocks(self, inputs: Any) -> Iterator[np.ndarray]:
        """Yields derivatives, float64 (n * outputs, parameters)."""
        size = max(1, min(self._batch_size, _BLOCK // (8 * self.parameters)))
        start = 0
        for batch in batches(inputs, size):
            jacobian = np.asarray(self._jacobian(batch), np.float64)
            bad = np.flatnonzero(~np.isfinite(jacobian).all(axis=(1, 2)))
            if len(bad):
                raise InputError(
                    "Wanted: finite derivatives. Received: NaN or infinity in row "
                    f"{start + bad[0]}. Leave such rows out, or check the model."
                )
            start += len(jacobian)
            yield jacobian.reshape(-1, self.parameters)

    def _network(self, inputs: Any) -> np.ndarray:
        outputs = self.model.predict(inputs, self._batch_size, verbose=0)
        if isinstance(outputs, dict | list | tuple):
            raise InputError(
                f"Wanted: a model with one output. Received: {len(outputs)} outputs. "
                "Make a model of one of them."
            )
        return np.reshape(outputs, (len(outputs), -1)).astype(np.float64)

    def _start(self, inputs: Any, like: np.ndarray) -> np.ndarray:
        """Returns what the fit is around, (n, outputs)."""
        zero = self._around == "zero"
        return (
            np.zeros_like(like) if zero else self._network(inputs).reshape(like.shape)
        )

    def _check_size(self, rows: int, columns: int, what: str) -> None:
        size = 8 * rows * columns
        if size > LARGEST:
            raise InputError(
                f"Wanted: at most {LARGEST / 1e9:.2g} GB for a neural tangent kernel. "
                f"Received: {size / 1e9:.3g} GB, {what}, {rows} by {columns}. Take "
                "fewer rows, freeze layers, or use ConjugateKernel."
            )


def _count(model: keras.Model) -> int:
    """Returns the number of parameters that train, of a model that can be used."""
    outputs = getattr(model, "outputs", None) or [None]
    if len(outputs) != 1:
        raise InputError(
            f"Wanted: a model with one output. Received: {len(outputs)} outputs. Make "
            "a model of one of them."
        )
    if any(adapter.dora for adapter in adapters_of(model)):
        raise InputError(
            "Wanted: layers whose gradients are the derivatives of their outputs. "
            "Received: an adapter with DoRA, which holds its norm constant. Take "
            "kphotoz.adapters.merge(model)."
        )
    count = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    if not count:
        raise InputError(
            f"Wanted: a model with trainable parameters. Received: {model.name!r} "
            "without. Build it, and set trainable=True."
        )
    return count


def _any(batch: Any) -> np.ndarray:
    return next(iter(batch.values())) if isinstance(batch, dict) else batch


def _inverse(values: np.ndarray, ridge: float) -> np.ndarray:
    """Returns the eigenvalues of (K + ridge)^-1, or of the pseudo-inverse of K."""
    if ridge:
        return 1.0 / (values + ridge)
    return pseudo_inverse(values)


def _best_ridge(
    values: np.ndarray, vectors: np.ndarray, wanted: np.ndarray, outputs: int
) -> float:
    """Returns the ridge with the smallest error of rows left out one at a time.

    With G = (K + ridge)^-1 the errors of an example left out are the solution of its
    own block of G with its part of G y: Rasmussen & Williams 2006, section 5.4.2.
    """
    largest = values.max(initial=0.0) or 1.0
    # Below it the eigenvalues themselves are rounding errors.
    fractions = RIDGES[RIDGES > len(values) * np.finfo(float).eps]
    parts = vectors.reshape(-1, outputs, len(values))
    along, errors = vectors.T @ wanted, []
    for ridge in largest * fractions:
        inverse = 1.0 / (values + ridge)
        own = (parts * inverse) @ np.swapaxes(parts, 1, 2)
        dual = (parts @ (inverse * along))[..., None]
        errors.append(np.square(np.linalg.solve(own, dual)).sum())
    return float(largest * fractions[np.argmin(errors)])

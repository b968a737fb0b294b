"""Classification with the kernel that a trained network's last features make.

Source: Qadeer et al. 2023, arXiv 2310.18612; the iteration is Newton's, as in Hastie,
Tibshirani & Friedman 2009, section 4.4.1.
"""

from typing import Any

import keras
import numpy as np

from kphotoz.errors import InputError
from kphotoz.kernels.features import check_again
from kphotoz.kernels.head import activation_of, last_dense
from kphotoz.kernels.last_layer import LastLayerFit, check_fitted
from kphotoz.kernels.linear_fit import Remembered, check_weights
from kphotoz.kernels.newton import minimize

__all__ = ["MOST_UNKNOWNS", "KernelLogisticRegression"]

MOST_UNKNOWNS = 4096  # features times outputs: 134 MB of second derivatives. Our choice


class KernelLogisticRegression(LastLayerFit):
    """Logistic regression on what a network's last layer reads, and a constant.

    Minimizes the cross-entropy of all rows plus ``ridge / 2`` times the sum of the
    squared coefficients, those of the constant among them: kernel logistic regression
    with ``K(x, x') = h(x) . h(x') + 1``, h the features. Two classes have one output
    where the network has one, otherwise each class has its own.

    Args:
        model: keras.Model. A graph that ends in a Dense layer of logits, a softmax or
            one sigmoid; it is not changed.
        layer: str or None. Whose outputs are the features, of a model that ends in
            anything. [default: those that the last layer reads]
        batch_size: int. Rows at a time. [default: 256]

    Raises:
        InputError: a model without such a layer.
    """

    def __init__(
        self, model: keras.Model, layer: str | None = None, *, batch_size: int = 256
    ) -> None:
        super().__init__(model, layer, batch_size, _class_head)
        self.rounds = 0
        self.converged = False

    def fit(
        self,
        inputs: Any,
        labels: np.ndarray,
        *,
        weights: np.ndarray | None = None,
        ridge: float = 1e-3,
        rounds: int = 50,
    ) -> "KernelLogisticRegression":
        """Solves for the coefficients; returns self.

        Each round is one pass over the rows, or more where a step has to be halved.
        `converged` says whether it ended before the last round.

        Args:
            inputs: as in `ConjugateKernel.fit`.
            labels: int array (n,), classes from 0 on in the order of the outputs.
            weights: float array (n,) >= 0, of the cross-entropy. [default: ones]
            ridge: float >= 0. At 0, and with classes that a plane separates, there is
                no minimum: what the rounds reach is returned, finite, its loss no
                higher than the start's. [default: 1e-3, our choice]
            rounds: int > 0. Of Newton's method, at most; Qadeer et al. take up to 12.
                [default: 50]

        Raises:
            InputError: no rows, one class only, labels that are no classes of the
                network, lengths that differ, values that are not finite, or more than
                `MOST_UNKNOWNS` coefficients.
        """
        check_again(inputs)
        labels = self._checked_labels(labels)
        weights = check_weights(weights, labels)
        if len(np.unique(labels[weights > 0])) < 2:
            raise InputError(
                "Wanted: rows of at least two classes. Received: those of class "
                f"{labels[weights > 0][0]} only. Add rows of another class."
            )
        ridge, rounds = _checked_settings(ridge, rounds)
        outputs = self._outputs(labels)
        self._check_size(outputs)
        rows = Remembered(lambda: self._rows(inputs))
        start = np.zeros((self.features.width + 1, outputs))
        minimum = minimize(rows, labels, weights, ridge, rounds, start)
        self.coefficients, self.rounds, self.converged = minimum
        return self

    def predict(self, inputs: Any) -> np.ndarray:
        """Returns probabilities (n, classes), two for a network with one output.

        Raises:
            InputError: before `fit`.
        """
        coefficients = check_fitted(self.coefficients)
        outputs = coefficients.shape[1]
        blocks = [np.empty((0, outputs))]
        blocks += [rows @ coefficients for rows in self._rows(inputs)]
        logits = np.concatenate(blocks)
        if outputs == 1:  # a sigmoid is a softmax beside a logit of 0
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=1, keepdims=True)

    def _outputs(self, labels: np.ndarray) -> int:
        if self._head is not None:
            return self._head.units
        return 1 if labels.max() == 1 else int(labels.max()) + 1

    def _checked_labels(self, labels: Any) -> np.ndarray:
        labels = np.asarray(labels)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or labels.dtype.kind not in "iub":
            raise InputError(
                "Wanted: labels as integers (n,), one class for each row. Received: "
                f"{labels.dtype} of shape {labels.shape}. Take argmax of one-hot rows."
            )
        if not len(labels):
            raise InputError("Wanted: at least one row to fit. Received: none.")
        labels = labels.astype(np.int64)
        last = max(self._head.units, 2) - 1 if self._head else labels.max()
        if labels.min() < 0 or labels.max() > last:
            raise InputError(
                f"Wanted: classes from 0 to {last}. Received: {labels.min()} to "
                f"{labels.max()}. Number them in the order of the network's outputs."
            )
        return labels

    def _check_size(self, outputs: int) -> None:
        unknowns = (self.features.width + 1) * outputs
        if unknowns > MOST_UNKNOWNS:
            raise InputError(
                f"Wanted: at most {MOST_UNKNOWNS} coefficients. Received: {unknowns}, "
                f"{self.features.width} features and a constant for {outputs} outputs. "
                "Name a narrower layer."
            )


def _checked_settings(ridge: Any, rounds: Any) -> tuple[float, int]:
    if isinstance(ridge, bool | str) or not 0 <= ridge < np.inf:
        raise InputError(
            f"Wanted: a ridge >= 0. Received: {ridge!r}. Leave it out for 1e-3."
        )
    if not isinstance(rounds, int) or rounds < 1:
        raise InputError(
            f"Wanted: rounds >= 1. Received: {rounds!r}. Leave it out for 50."
        )
    return float(ridge), rounds


def _class_head(model: keras.Model) -> keras.layers.Dense:
    """Returns the last layer, of logits, a softmax or one sigmoid."""
    head = last_dense(model)
    fits = {"linear": True, "softmax": head.units > 1, "sigmoid": head.units == 1}
    if not fits.get(activation_of(head)):
        raise InputError(
            "Wanted: a last layer of logits, a softmax, or one sigmoid. Received: "
            f"{activation_of(head)} of {head.units} units. Name the layer whose "
            "features are to be used."
        )
    return head

"""Robust losses of the redshift error dz = (prediction - label) / (1 + label)."""

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["HSCLoss", "RobustLoss"]


class _ScaledErrorLoss(keras.losses.Loss):
    """Base of the losses of dz / gamma.

    Args:
        gamma: float > 0. Error dz at which the loss leaves its parabola.
    """

    def __init__(self, gamma: float, name: str, reduction: str, **kwargs: Any) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        if not gamma > 0:
            raise ValueError(f"`gamma` must be positive. Received: gamma={gamma!r}.")
        self.gamma = float(gamma)

    def _square(self, y_true: Any, y_pred: Any) -> Any:
        """Returns (dz / gamma)**2 of shape `(batch,)`."""
        y_pred = ops.reshape(ops.convert_to_tensor(y_pred), (-1,))
        y_true = ops.reshape(ops.cast(y_true, y_pred.dtype), (-1,))
        return ops.square((y_pred - y_true) / (1.0 + y_true) / self.gamma)

    def irls_weights(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Returns the weights of squared errors whose gradient is the loss's.

        Up to a common factor. Least squares with the weights of the solution before,
        repeated, never raises the loss.

        Args:
            y_true: float array `(n,)` or `(n, 1)`, labels.
            y_pred: float array of as many predictions.

        Returns:
            float64 array `(n,)`, positive.

        Source: Holland & Welsch 1977, Communications in Statistics A6, 813.
        """
        y_true, y_pred = (
            np.asarray(y, np.float64).reshape(-1) for y in (y_true, y_pred)
        )
        square = np.square((y_pred - y_true) / (1.0 + y_true) / self.gamma)
        return self._slope(square) / np.square(1.0 + y_true)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="kphotoz")
class HSCLoss(_ScaledErrorLoss):
    """The loss ``1 - 1 / (1 + (dz / gamma)**2)`` with dz = (z_pred - z) / (1 + z).

    It saturates: an outlier costs at most 1 and pulls with vanishing force.

    Args:
        gamma: float > 0. [default: 0.15]

    Labels and predictions: `(batch,)` or `(batch, 1)`.

    Source: Tanaka et al. 2018, PASJ 70, S9, equation 7.
    """

    def __init__(
        self,
        gamma: float = 0.15,
        name: str = "hsc_loss",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma, name, reduction, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        square = self._square(y_true, y_pred)
        return square / (1.0 + square)

    def _slope(self, square: np.ndarray) -> np.ndarray:
        return 1.0 / np.square(1.0 + square)


@keras.saving.register_keras_serializable(package="kphotoz")
class RobustLoss(_ScaledErrorLoss):
    """The loss ``sqrt(1 + (dz / gamma)**2) - 1`` with dz = (z_pred - z) / (1 + z).

    A parabola within gamma and a straight line outside: an outlier pulls with constant
    force, so that training from a poor start does not stall.

    Args:
        gamma: float > 0. [default: 0.03, our choice]

    Labels and predictions: `(batch,)` or `(batch, 1)`.

    Source: the pseudo-Huber loss, Charbonnier et al. 1997, IEEE Trans. Image
    Processing 6, 298.
    """

    def __init__(
        self,
        gamma: float = 0.03,
        name: str = "robust_loss",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ) -> None:
        super().__init__(gamma, name, reduction, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sqrt(1.0 + self._square(y_true, y_pred)) - 1.0

    def _slope(self, square: np.ndarray) -> np.ndarray:
        return 1.0 / np.sqrt(1.0 + square)

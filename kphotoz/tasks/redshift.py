"""The redshift task: label, loss and score, in one place."""

import dataclasses

import keras
import numpy as np

from kphotoz import metrics
from kphotoz.errors import InputError

__all__ = ["RedshiftTask"]

# More labels outside the declared range than this are an error, not a detail (our
# choice: one in a thousand).
_TOLERATED = 1e-3


@dataclasses.dataclass(frozen=True)
class RedshiftTask:
    """One redshift per image.

    Args:
        label_range: (float, float). Redshifts that the model is made for.
    """

    label_range: tuple[float, float]

    label = "redshift"

    def loss(self, name: str) -> keras.losses.Loss:
        """Returns the training loss by its recipe name."""
        from kphotoz import losses

        return {"hsc": losses.HSCLoss, "robust": losses.RobustLoss}[name]()

    def score(self, z_pred: np.ndarray, redshift: np.ndarray) -> float:
        """Returns the mean HSC loss, by which epochs and rates are chosen.

        One score for every training loss, so that choices are made alike.
        """
        if not np.all(np.isfinite(z_pred)):
            return float("inf")
        return float(metrics.POINT["hsc_loss"](z_pred, redshift))

    def check_labels(self, redshift: np.ndarray, name: str) -> None:
        """Refuses labels that are missing or lie outside the recipe's range.

        Raises:
            InputError: with the count and the first row.
        """
        missing = np.flatnonzero(~np.isfinite(redshift))
        if missing.size:
            raise InputError(
                f"Wanted: a redshift for every object of {name}. Received: "
                f"{missing.size} missing, first in row {missing[0]}. Remove these rows."
            )
        low, high = self.label_range
        outside = np.flatnonzero((redshift < low) | (redshift > high))
        if outside.size > _TOLERATED * redshift.size:
            raise InputError(
                f"Wanted: redshifts of {name} in label_range {low}..{high}. Received: "
                f"{outside.size} of {redshift.size} outside, first "
                f"{redshift[outside[0]]:g} in row {outside[0]}. Set label_range."
            )

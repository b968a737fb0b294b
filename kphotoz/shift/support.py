"""Which objects lie where the source has none."""

import numpy as np
from sklearn.covariance import LedoitWolf

from kphotoz.errors import InputError
from kphotoz.shift._pairs import check_rows

__all__ = ["Support"]

_OUTSIDE = 0.01  # share of the source beyond which an object is outside; our choice


class Support:
    """Distance of objects from a source sample, in units of its own spread.

    The Mahalanobis distance with a shrunk covariance is measured from one half of the
    source; the other half says how far its own objects lie.

    Args:
        source: float array (n, feature), n >= 20.
        seed: int. Of the halves. [default: 0]

    Attributes:
        level: float. Tail up to which an object is outside, and the share of the
            source's own distribution that is: 0.01, more for fewer than 200 rows.

    Raises:
        InputError: too few rows, or features that are not finite.

    Source: Lee et al. 2018, arXiv 1807.03888, one class; Ledoit & Wolf 2004, J.
    Multivariate Analysis 88, 365.
    """

    def __init__(self, source: np.ndarray, seed: int = 0) -> None:
        source = check_rows(source, "source", 20)
        order = np.random.default_rng(seed).permutation(len(source))
        known, held = np.array_split(source[order], 2)
        self._centre = known.mean(axis=0)
        scale = known.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        self._model = LedoitWolf().fit((known - self._centre) / self._scale)
        self._held = np.sort(self.distance(held))
        # Of few objects none lies beyond 99 %: then the farthest of them is the limit.
        self.level = max(_OUTSIDE, 1 / (len(held) + 1))

    def distance(self, rows: np.ndarray) -> np.ndarray:
        """Returns Mahalanobis distances (n,) from the source's centre.

        Args:
            rows: float array (n, feature).

        Raises:
            InputError: other features than the source's, or not finite.
        """
        rows = check_rows(rows, "objects", 0)
        if rows.shape[1] != len(self._centre):
            raise InputError(
                f"Wanted: {len(self._centre)} features, as of the source. Received: "
                f"{rows.shape[1]}. Take the same layer of both."
            )
        if not len(rows):
            return np.zeros(0)
        return np.sqrt(self._model.mahalanobis((rows - self._centre) / self._scale))

    def tail(self, rows: np.ndarray) -> np.ndarray:
        """Returns the share (n,) of the source's held objects that lie as far out.

        For an object of the source's own distribution it is uniform in (0, 1]: below
        0.01 one object in a hundred falls.

        Args:
            rows: float array (n, feature).
        """
        inside = np.searchsorted(self._held, self.distance(rows), "left")
        return (len(self._held) - inside + 1.0) / (len(self._held) + 1.0)

    def outside(self, rows: np.ndarray) -> float:
        """Returns the share of rows whose tail is at most `level`.

        Args:
            rows: float array (n, feature).
        """
        return float(np.mean(self.tail(rows) <= self.level * (1 + 1e-9)))

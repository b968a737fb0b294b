"""The forest's view of a sample: aperture photometry of the same images."""

import numpy as np

from kphotoz import baselines, data, features

__all__ = ["PhotometryForest", "noise", "photometry"]

_NOISE_FROM = 2000  # images; as many as stretches are fitted on


class PhotometryForest:
    """A tuned forest on aperture photometry; noise levels are those of its training.

    Args:
        seed: int. Decides the trees.
    """

    def __init__(self, seed: int) -> None:
        self._forest = baselines.RandomForest(seed=seed, n_jobs=-1)
        self._softening: np.ndarray | None = None

    def fit(
        self, train: "data.Sample", validation: "data.Sample", label: str
    ) -> "PhotometryForest":
        """Grows the forest on `train`, tuned on `validation`; returns itself."""
        self._softening = noise(train)
        self._forest.fit(
            photometry(train, self._softening),
            train.table[label],
            photometry(validation, self._softening),
            validation.table[label],
        )
        return self

    def predict(self, sample: "data.Sample") -> np.ndarray:
        """Returns redshifts (n,) for a sample."""
        return self._forest.predict(photometry(sample, self._softening))


def noise(sample: "data.Sample") -> np.ndarray:
    """Returns the noise of a pixel in each band (band,), survey flux unit."""
    return features.noise_sigma(sample.inputs(limit=_NOISE_FROM))


def photometry(sample: "data.Sample", softening: np.ndarray) -> np.ndarray:
    """Returns the aperture photometry (n, feature) of a sample, batch by batch.

    Args:
        sample: Sample.
        softening: (band,) noise of a pixel, survey flux unit.
    """
    batches = data.ordered_batches(sample, batch_size=256)
    return np.concatenate(
        [features.aperture_photometry(np.asarray(b), softening) for b in batches]
    )

"""The forest's view of a sample: photometry of the same images or catalogue."""

import numpy as np

from kphotoz import backend, baselines, data, features

__all__ = ["Photometry", "PhotometryForest"]

_FITTED_ON = 2000  # objects; as many as networks are fitted on


class Photometry:
    """Turns samples into tables of magnitudes and colours, always in the same way.

    Images give aperture photometry, catalogues asinh magnitudes with colours, errors
    and masks; noise levels and fillings are those of the sample it is fitted on.

    Args:
        sample: Sample. Whose noise is taken.
    """

    def __init__(self, sample: "data.Sample") -> None:
        inputs = sample.inputs(limit=_FITTED_ON)
        self._kind = sample.info.kind
        if self._kind == "image":
            self._softening = features.noise_sigma(inputs)
            return
        self._softening = features.flux_softening(inputs)
        self._fill = features.fill_magnitudes(inputs, self._softening)

    def __call__(self, sample: "data.Sample") -> np.ndarray:
        """Returns the features (n, feature) of a sample, batch by batch."""
        batches = data.ordered_batches(sample, batch_size=256)
        return np.concatenate([self._features(np.asarray(b)) for b in batches])

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        if self._kind == "image":
            return features.aperture_photometry(inputs, self._softening)
        return features.catalog_photometry(inputs, self._softening, self._fill)


class PhotometryForest:
    """A tuned forest on photometry; noise levels are those of its training sample.

    Args:
        seed: int. Decides the trees.
    """

    def __init__(self, seed: int) -> None:
        self._photometry: Photometry
        self._forest = baselines.RandomForest(seed=seed, n_jobs=backend.threads())

    def fit(
        self, train: "data.Sample", validation: "data.Sample", label: str
    ) -> "PhotometryForest":
        """Grows the forest on `train`, tuned on `validation`; returns itself."""
        self._photometry = Photometry(train)
        self._forest.fit(
            self._photometry(train),
            train.table[label],
            self._photometry(validation),
            validation.table[label],
        )
        return self

    def predict(self, sample: "data.Sample") -> np.ndarray:
        """Returns redshifts (n,) for a sample."""
        return self._forest.predict(self._photometry(sample))

"""What a model gives out for a sample, in the sample's order."""

import math

import keras
import numpy as np

from kphotoz import backend, data

__all__ = ["outputs", "predict"]

_BATCH = 256


def predict(model: keras.Model, sample: "data.Sample") -> np.ndarray:
    """Returns redshifts of shape (n,), in the order of the sample."""
    return outputs(model, sample)[:, 0].astype(np.float64)


def outputs(model: keras.Model, sample: "data.Sample") -> np.ndarray:
    """Returns the model's outputs (n, ...), in the order of the sample.

    Several processes that train together must call it at the same time.
    """
    if backend.replicas() == 1:
        return _outputs_alone(model, sample)
    backend.gather_predictions(model)
    batches = data.shared_batches(sample, batch_size=_BATCH)
    return model.predict(batches, verbose=0)[: len(sample)]


def _outputs_alone(model: keras.Model, sample: "data.Sample") -> np.ndarray:
    """Returns the outputs on one device; a data set and its iterator cost more."""
    count = len(sample)
    size = math.ceil(count / math.ceil(count / _BATCH))
    # The last batch is filled up: another shape would be compiled anew.
    rows = np.minimum(np.arange(count + -count % size), count - 1)
    batches = [
        model.predict_on_batch(sample.gather(rows[start : start + size]))
        for start in range(0, count, size)
    ]
    return np.concatenate(batches)[:count]

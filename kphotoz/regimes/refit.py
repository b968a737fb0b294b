"""Solves for the last layer of a network instead of training it."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from kphotoz.kernels import ConjugateKernel
from kphotoz.kernels.head import last_linear
from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop, outputs
from kphotoz.training.settings import Training

if TYPE_CHECKING:
    from kphotoz import data

__all__ = ["refit"]

# Tried on the validation labels, in units of the largest eigenvalue of the features:
# from a free layer to one that stays what it was. Our choice.
_RIDGES = np.logspace(-10, 4, 15)
# What a row of the source counts beside one of the target, tried likewise: from as much
# to nothing. Our choice.
_SHARES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.0)


def refit(
    model: keras.Model,
    samples: tuple["data.Sample", "data.Sample"],
    task: RedshiftTask,
    settings: Training,
    source_rows: int = 0,
) -> tuple[keras.Model, float]:
    """Returns a copy of a model whose last layer is solved for, and its score.

    One pass over the samples, no gradients. A ridge, chosen by the score on the
    validation labels, pulls the layer towards what it was. Rows left out one at a time
    could not choose it: a network has seen them where it was trained on them before.
    The training loss never rises. Rows of the source are weighted by a share that is
    chosen with the ridge.

    Args:
        model: keras.Model of plain layers that ends in a linear Dense layer.
        samples: what is learned from, and what chooses ridge and share.
        task: RedshiftTask.
        settings: Training. Its loss and the range of labels count.
        source_rows: int >= 0. How many rows, the first ones, are the source's.

    Raises:
        InputError: a model that ends in something else.
    """
    kernel = ConjugateKernel(model, around="network")
    below = keras.Model(model.input, last_linear(model).input)
    features, held = (outputs.outputs(below, sample) for sample in samples)
    labels = loop.clamped_labels(samples[0], task, settings)
    reweight = task.loss(settings.loss).irls_weights
    before = keras.ops.convert_to_numpy(last_linear(model)(features))

    def score(coefficients: np.ndarray) -> float:
        outputs = held @ coefficients[:-1] + coefficients[-1]
        return task.score(outputs[:, 0], samples[1].table[task.label])

    def solve(share: float) -> float:
        """Fits with a share of the source's labels; returns the score."""
        weights = np.where(np.arange(len(labels)) < source_rows, share, 1.0)
        # The ridge is chosen after one round of weights, which is near the end.
        first_round = weights * reweight(labels, before)
        kernel.fit_features(features, labels, weights=first_round)
        used = features[weights > 0].astype("float64")
        ridges = _RIDGES * (1 + np.linalg.norm(used, 2) ** 2)
        scores = [score(one) for one in kernel.solutions(ridges)]
        best = float(ridges[np.argmin(scores)])
        kernel.fit_features(
            features, labels, weights=weights, ridge=best, reweight=reweight
        )
        assert kernel.coefficients is not None  # it was fitted
        return score(kernel.coefficients)

    shares = _SHARES if source_rows else (1.0,)
    scores = [solve(share) for share in shares]
    if len(shares) > 1:
        solve(shares[int(np.argmin(scores))])
    return kernel.refit(), min(scores)

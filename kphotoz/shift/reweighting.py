"""What of a difference is in the inputs, what in the labels, what in their relation."""

import dataclasses

import numpy as np
import scipy.optimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from kphotoz.errors import InputError
from kphotoz.shift._pairs import check_pair, standardised

__all__ = ["LabelShift", "density_ratio", "label_shift"]

_CLIP = 1e-6  # of a probability, so that no weight is infinite; our choice


def density_ratio(
    source: np.ndarray, target: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Returns weights (n,) of mean 1 that make the source look like the target.

    A logistic classifier of target against source, asked on rows that it was not
    fitted to, gives the ratio of their densities.

    Args:
        source: float array (n, feature).
        target: float array (m, feature).
        seed: int. Of the five folds.

    Raises:
        InputError: samples too small, not finite, or of other features.

    Source: Sugiyama, Suzuki & Kanamori 2012, Density Ratio Estimation, section 4.2.
    """
    from sklearn.model_selection import StratifiedKFold

    source, target = check_pair(source, target)
    rows = standardised(source, target)
    labels = np.repeat([0, 1], [len(source), len(target)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = LogisticRegression(C=1.0, max_iter=500)
    chances = cross_val_predict(model, rows, labels, cv=folds, method="predict_proba")
    chance = np.clip(chances[: len(source), 1], _CLIP, 1 - _CLIP)
    weights = chance / (1 - chance)
    return weights / weights.mean()


@dataclasses.dataclass(frozen=True)
class LabelShift:
    """Redshift distributions in bins.

    Args:
        edges: float array (bin + 1,).
        source: float array (bin,), shares of the source's labels.
        target: float array (bin,), shares that the target's must have.
        weights: float array (bin,), target over source.
    """

    edges: np.ndarray
    source: np.ndarray
    target: np.ndarray
    weights: np.ndarray


def label_shift(
    source_predicted: np.ndarray,
    source_labels: np.ndarray,
    target_predicted: np.ndarray,
    bins: int = 6,
) -> LabelShift:
    """Returns the target's distribution of labels, from its predictions alone.

    It holds where only the distribution of labels differs: objects of one redshift must
    look alike in both samples. Bins are quantiles of the source's labels.

    Args:
        source_predicted: float array (n,), predictions for objects not trained on.
        source_labels: float array (n,).
        target_predicted: float array (m,).
        bins: int >= 2.

    Raises:
        InputError: values that are not finite, fewer than ten objects, or labels that
            do not fill two bins.

    Source: Lipton, Wang & Smola 2018, arXiv 1802.03916, with weights not below 0.
    """
    arrays = {
        "source predictions": source_predicted,
        "source labels": source_labels,
        "target predictions": target_predicted,
    }
    arrays = {name: np.asarray(x, np.float64) for name, x in arrays.items()}
    for name, values in arrays.items():
        if values.ndim != 1 or values.size < 10 or not np.isfinite(values).all():
            raise InputError(
                f"Wanted: ten or more finite {name} (n,). Received: shape "
                f"{values.shape}, {np.count_nonzero(~np.isfinite(values))} not finite."
            )
    predicted, labels, answers = arrays.values()
    if predicted.size != labels.size:
        raise InputError(
            "Wanted: a prediction for each label of the source. Received: "
            f"{predicted.size} and {labels.size}."
        )
    edges = np.unique(np.quantile(labels, np.linspace(0, 1, bins + 1)))
    if edges.size < 3:
        raise InputError(
            f"Wanted: source labels that fill two bins. Received: {edges.size} "
            "different quantiles. Give labels that vary."
        )
    count = edges.size - 1
    place = [np.searchsorted(edges[1:-1], x, "right") for x in (predicted, labels)]
    joint = np.zeros((count, count))
    np.add.at(joint, tuple(place), 1 / labels.size)
    counts = np.bincount(
        np.searchsorted(edges[1:-1], answers, "right"), minlength=count
    )
    weights, _ = scipy.optimize.nnls(joint, counts / answers.size)
    source = joint.sum(axis=0)
    target = source * weights
    target = target / target.sum() if target.any() else source
    return LabelShift(edges, source, target, target / source)

"""Weights that make a labelled test sample resemble the sample of deployment."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from kphotoz import data, features
from kphotoz.errors import InputError
from kphotoz.metrics import effective_size
from kphotoz.regimes.forest import Photometry

__all__ = ["Weights", "neighbour_weights", "weights_like"]


class Weights:
    """Weights of a test sample and how far they can be trusted.

    Attributes:
        values: (n,) array, mean 1.
        effective_size: float. (sum w)^2 / sum w^2.
        unsupported: float. Share of the deployment sample that lies farther from every
            test object than 99 % of test objects lie from each other.
    """

    def __init__(self, values: np.ndarray, unsupported: float) -> None:
        self.values = values
        self.effective_size = effective_size(values)
        self.unsupported = unsupported


def neighbour_weights(
    test: np.ndarray, deployment: np.ndarray, neighbours: int = 10
) -> Weights:
    """Returns nearest-neighbour density-ratio weights.

    The weight of a test object is the number of deployment objects within the distance
    to its k-th nearest test object.

    Args:
        test: (n, feature) array, labelled.
        deployment: (m, feature) array.
        neighbours: int. k. [default: 10, our choice]

    Raises:
        InputError: fewer test objects than neighbours, or no overlap at all.

    Source: Lima et al. 2008, arXiv 0801.3822.
    """
    if len(test) <= neighbours:
        raise InputError(
            f"Wanted: more than {neighbours} test objects to weight. "
            f"Received: {len(test)}. Use a larger test split."
        )
    scale = np.std(test, axis=0)
    scale[scale == 0] = 1.0
    test, deployment = test / scale, deployment / scale
    tree = NearestNeighbors(n_neighbors=neighbours + 1).fit(test)
    own = tree.kneighbors(test)[0]
    radius = own[:, -1]
    other = NearestNeighbors().fit(deployment)
    counts = np.array(
        [
            other.radius_neighbors([row], r, return_distance=False)[0].size
            for row, r in zip(test, radius, strict=True)
        ],
        dtype=float,
    )
    if counts.sum() == 0:
        raise InputError(
            "Wanted: a deployment sample that overlaps the test sample in colour and "
            "magnitude. Received: no overlap. No weights can make one stand for the "
            "other; train on labels like the deployment sample."
        )
    nearest = tree.kneighbors(deployment, n_neighbors=1)[0][:, 0]
    unsupported = float(np.mean(nearest > np.quantile(own[:, 1], 0.99)))
    return Weights(counts * len(counts) / counts.sum(), unsupported)


def weights_like(test: data.Sample, like: str) -> Weights:
    """Returns weights by which a test sample resembles a survey, by photometry.

    Args:
        test: Sample. What is weighted.
        like: str. The survey where the model will be used, `builder/config`.

    Raises:
        InputError: the survey is unlike the sample or does not overlap with it, or the
            sample is too small to be weighted.
    """
    splits = data.open_survey(like)
    if field := test.info.unlike(splits["test"].info):
        raise InputError(
            f"Wanted: a deployment survey with the {field} of {test.info.name}, "
            f"{getattr(test.info, field)!r}. Received: "
            f"{getattr(splits['test'].info, field)!r} in {like}. Build it to match, or "
            "name another with --deploy."
        )
    photometry, count = Photometry(test), None
    if test.info.kind == "catalog":
        count = features.count_object_features(test.info.bands)
    deployed = [photometry(s)[:, :count] for s in splits.values() if len(s)]
    return neighbour_weights(photometry(test)[:, :count], np.concatenate(deployed))

"""Samples of a survey by split: what is left out, what is kept, what is refused."""

import functools
import math
from collections.abc import Iterable

import numpy as np

from kphotoz import data
from kphotoz.errors import InputError
from kphotoz.recipes import Duplicates

__all__ = [
    "Splits",
    "check_disjoint",
    "check_filled",
    "share_of_labels",
    "without_duplicates",
]

Splits = dict[str, data.Sample]
# Labels kept at any fraction.
_FEWEST = {"train": 2, "validation": 20}


def share_of_labels(
    splits: Splits, fraction: float, seed: int
) -> tuple[data.Sample, data.Sample]:
    """Returns the training and validation samples, cut to a fraction of their labels.

    Smaller fractions are subsets of larger ones of the same seed.

    Args:
        splits: samples by split.
        fraction: float in (0, 1]. Share that is kept.
        seed: int. Which part is kept.
    """
    train, validation = (
        _part(splits[split], fraction, seed, fewest)
        for split, fewest in _FEWEST.items()
    )
    return train, validation


def check_disjoint(surveys: Iterable[Splits]) -> None:
    """Checks that no object that is learned from is in a test sample.

    Raises:
        InputError: one is.
    """
    surveys = list(surveys)
    for trained in surveys:
        for tested in surveys:
            for split in ("train", "validation"):
                data.check_disjoint(trained[split], tested["test"])


def without_duplicates(
    source: Splits, target: Splits, rule: Duplicates
) -> tuple[Splits, str]:
    """Returns the source without objects of the target, and how many those were.

    Raises:
        InputError: positions are to be compared and a survey has none.
    """
    kept, dropped = {}, 0
    known = functools.reduce(data.Sample.union, target.values()).table
    for splits in (source, target):
        sample = splits["train"]
        if rule.match == "position" and not np.isfinite(sample.table["ra"]).any():
            raise InputError(
                f"Wanted: positions in {sample.info.name}, to find duplicates by. "
                "Received: none. Map ra and dec when importing, set "
                "duplicates.match=id, or duplicates=null if there are none."
            )
    for split, sample in source.items():
        table = sample.table
        if rule.match == "id":
            matches = data.find_same_ids(known["id"], table["id"])
        else:
            matches = data.find_duplicates(
                known["ra"], known["dec"], table["ra"], table["dec"], rule.radius
            )
        kept[split] = sample.select(matches < 0)
        dropped += int(np.count_nonzero(matches >= 0))
    words = "the same id" if rule.match == "id" else f"{rule.radius:g} arcsec"
    return kept, (
        f"{dropped} objects of the source are in the target too (by {words}) and were "
        "left out of the source."
    )


def check_filled(splits: Splits, fold: str = "") -> None:
    """Checks that no split is empty.

    Args:
        splits: samples by split.
        fold: str. Which fold they are of, for the message.

    Raises:
        InputError: one is empty.
    """
    fix = "fewer --folds" if fold else "other fractions (--splits when importing)"
    for name in ("train", "validation", "test"):
        if not len(splits[name]):
            raise InputError(
                f"Wanted: at least one object in the {name} split of "
                f"{splits[name].info.name}{fold}. Received: none. Use more objects, or "
                f"{fix}."
            )


def _part(sample: data.Sample, fraction: float, seed: int, fewest: int) -> data.Sample:
    if fraction >= 1:
        return sample
    order = np.random.default_rng([seed, len(sample)]).permutation(len(sample))
    count = max(math.ceil(fraction * len(sample)), min(fewest, len(sample)))
    return sample.select(np.sort(order[:count]))

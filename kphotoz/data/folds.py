"""K-fold splits: every object is tested once, by models that have not seen it."""

import functools

import numpy as np

from kphotoz.data.grouping import places, split_of_groups
from kphotoz.data.sample import Sample

__all__ = ["VALIDATION", "fold_splits"]

# Share of the groups outside of a fold that validate; our choice.
VALIDATION = 0.15


def fold_splits(splits: dict[str, Sample], folds: int, fold: int) -> dict[str, Sample]:
    """Returns splits in which the groups of one fold are the test set.

    The fold of a group depends on its name alone, so that two surveys of the same
    objects agree, and rows of one group stay together. What the survey called
    calibration is used like all else: the calibration split is empty.

    Args:
        splits: dict of name to Sample. All of a survey.
        folds: int >= 2. Number of folds.
        fold: int, 0 to folds - 1. Which one is tested.
    """
    everything = functools.reduce(Sample.union, splits.values())
    table = everything.table
    groups = np.where(table["group"] == "", table["id"], table["group"])
    tested = np.floor(places(groups, f"fold {folds}") * folds).astype(int) == fold
    shares = (1 - VALIDATION, VALIDATION, 0.0, 0.0)
    split = split_of_groups(groups, shares, seed=fold)
    return {
        "train": everything.select(~tested & (split == "train")),
        "validation": everything.select(~tested & (split == "validation")),
        "calibration": everything.select(np.zeros(len(everything), bool)),
        "test": everything.select(tested),
    }

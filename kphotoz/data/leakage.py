"""The check that no object is both trained on and tested on."""

import numpy as np

from kphotoz.data.sample import Sample
from kphotoz.errors import InputError

__all__ = ["check_disjoint"]


def check_disjoint(train: Sample, test: Sample) -> None:
    """Checks that the samples share no object.

    Objects are compared by group (the same source on the sky) among all surveys of one
    builder, or by id within one survey where there is no group.

    Raises:
        InputError: objects are shared; says how many rows and the first id.
    """
    known = set(_keys(train))
    shared = np.array([key in known for key in _keys(test)], dtype=bool)
    if shared.any():
        first = test.table["id"][np.flatnonzero(shared)[0]]
        raise InputError(
            "Wanted: test objects that were not trained on. Received: "
            f"{int(shared.sum())} of {len(test)} test rows share an object with the "
            f"training set, first id {first!r}. Split by object, not by row; if only "
            "the names are alike, map others with --key group=NAME or --key id=NAME."
        )


def _keys(sample: Sample) -> list[tuple[str, ...]]:
    table = sample.table
    rows = zip(table["survey"], table["group"], table["id"], strict=True)
    return [
        (survey.split("/")[0], group) if group else (survey, "", identity)
        for survey, group, identity in rows
    ]

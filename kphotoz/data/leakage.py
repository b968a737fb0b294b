"""The check that no object is both trained on and tested on."""

import numpy as np

from kphotoz.data.duplicates import find_duplicates, on_sky
from kphotoz.data.sample import Sample
from kphotoz.data.survey import IMPORTS
from kphotoz.errors import InputError

__all__ = ["SAME", "check_disjoint", "object_names"]

SAME = 1.0  # arcsec; our choice


def check_disjoint(train: Sample, test: Sample) -> None:
    """Checks that the samples share no object.

    Objects are compared by group (the same source on the sky) among all surveys of one
    builder, or by id within one survey where there is no group; surveys of different
    builders, and files of one's own, by position as well, within `SAME` arcsec, where
    both have positions: catalogues of the same objects differ by fractions of that.
    Rows of such files of which one has no position are compared by id.

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
    _check_positions(train, test)
    _check_ids(train, test)


def object_names(sample: Sample) -> np.ndarray:
    """Returns a name per row, (n,) str objects, equal for rows of one object.

    It is made of the builder and the group, or of the survey and the id where there is
    no group, as `check_disjoint` compares objects.
    """
    names = ["/".join(filter(None, key)) for key in _keys(sample)]
    return np.array([*names, None], object)[:-1]


def _check_positions(train: Sample, test: Sample) -> None:
    mine, theirs = _origins(train), _origins(test)
    for origin in np.unique(theirs):
        here, there = mine != origin, theirs == origin
        ours, others = train.table, test.table
        match = find_duplicates(
            ours["ra"][here],
            ours["dec"][here],
            others["ra"][there],
            others["dec"][there],
            SAME,
        )
        if (match >= 0).any():
            first = test.table["id"][np.flatnonzero(there)[np.argmax(match >= 0)]]
            raise InputError(
                "Wanted: test objects that were not trained on. Received: "
                f"{int((match >= 0).sum())} of {len(test)} test rows lie within "
                f"{SAME:g} arcsec of a training object of another survey, first id "
                f"{first!r}. Leave them out of the source with "
                "--set duplicates.match=position."
            )


def _check_ids(train: Sample, test: Sample) -> None:
    mine, theirs = _imported(train), _imported(test)
    known = {name for name, _ in mine}
    unplaced = {name for name, placed in mine if not placed}
    shared = [
        name for name, placed in theirs if name in (unplaced if placed else known)
    ]
    if shared:
        raise InputError(
            "Wanted: test objects that were not trained on. Received: "
            f"{len(shared)} of {len(test)} test rows have the id of a training object "
            f"of another file, of which one has no position, first {shared[0]!r}. "
            "Leave them out of the source with --set duplicates.match=id, give both "
            "files positions, or map other names with --key id=NAME."
        )


def _imported(sample: Sample) -> list[tuple[str, bool]]:
    """Returns the ids of rows of a user's files, and whether each has a position."""
    table = sample.table
    placed = on_sky(table["ra"], table["dec"]).tolist()
    rows = zip(table["survey"], table["id"], placed, strict=True)
    return [(i, placed) for name, i, placed in rows if name.split("/")[0] in IMPORTS]


def _origins(sample: Sample) -> np.ndarray:
    """Returns what gave each row its group, (n,): a builder, or a user's file."""
    surveys = sample.table["survey"]
    builders = [survey.split("/")[0] for survey in surveys]
    rows = zip(builders, surveys, strict=True)
    return np.array([two if one in IMPORTS else one for one, two in rows], dtype=str)


def _keys(sample: Sample) -> list[tuple[str, ...]]:
    table = sample.table
    rows = zip(table["survey"], table["group"], table["id"], strict=True)
    return [
        (survey.split("/")[0], group) if group else (survey, "", identity)
        for survey, group, identity in rows
    ]

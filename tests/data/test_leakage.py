"""Objects of other surveys are known by where they are on the sky."""

import numpy as np
import pytest

from kphotoz.data import check_disjoint, object_names
from kphotoz.errors import InputError

RA = np.linspace(10, 20, 12)
DEC = np.linspace(-5, 5, 12)
ARCSEC = 1 / 3600


def test_the_same_place_in_another_survey_is_the_same_object(make_catalog):
    one = make_catalog(12, tag="a", ra=RA, dec=DEC)
    near = make_catalog(12, 1, tag="b", ra=RA, dec=DEC + 0.9 * ARCSEC)
    far = make_catalog(12, 2, tag="c", ra=RA, dec=DEC + 1.1 * ARCSEC)
    unplaced = make_catalog(12, 3, tag="d")
    check_disjoint(one, far)
    check_disjoint(one, unplaced)
    check_disjoint(unplaced, one)
    with pytest.raises(InputError, match="12 of 12 test rows.*'b1-0'.*duplicates"):
        check_disjoint(one, near)


def test_only_rows_of_other_surveys_are_compared_by_place(make_catalog):
    # Two objects of one survey may be close: its groups say what is one object.
    sample = make_catalog(12, tag="a", ra=np.full(12, 10.0), dec=np.zeros(12))
    check_disjoint(sample.select(np.arange(6)), sample.select(np.arange(6, 12)))
    mixed = make_catalog(12, 1, tag="b", ra=RA, dec=DEC).union(sample.select([7]))
    check_disjoint(sample.select(np.arange(6)), mixed.select(np.arange(1, 13)))


def test_two_files_of_a_user_are_compared_by_place_as_well(make_catalog, monkeypatch):
    # A tenth of an arcsecond may carry a group, named after its place, to another cell.
    first = make_catalog(12, tag="/a", ra=RA, dec=DEC)
    second = make_catalog(12, 1, tag="/b", ra=RA, dec=DEC + 0.1 * ARCSEC)
    check_disjoint(first, second)  # configurations of one builder share their groups
    monkeypatch.setattr("kphotoz.data.leakage.IMPORTS", ("catalogue",))
    with pytest.raises(InputError, match="12 of 12 test rows.*'/b1-0'"):
        check_disjoint(first, second)
    check_disjoint(first.select(np.arange(6)), first.select(np.arange(6, 12)))


def test_files_of_which_one_has_no_positions_are_compared_by_id(
    make_catalog, monkeypatch
):
    names = np.array([f"J{i}" for i in range(12)], object)
    cells = np.array([f"sky-{i}" for i in range(12)], object)
    placed = make_catalog(12, tag="/a", ra=RA, dec=DEC, id=names, group=cells)
    same = make_catalog(12, 1, tag="/b", id=names, group=names)
    moved = make_catalog(12, 2, tag="/c", ra=RA, dec=DEC + 1, id=names)
    check_disjoint(placed, same)  # of one builder, whose groups are one catalogue's
    monkeypatch.setattr("kphotoz.data.leakage.IMPORTS", ("catalogue",))
    for train, test in ((placed, same), (same, placed)):
        with pytest.raises(InputError, match="12 of 12.*'J0'.*duplicates.match=id"):
            check_disjoint(train, test)
    check_disjoint(placed, moved)  # both say where they are: names may be alike
    both = same.union(moved)  # a name that is unplaced once may be any
    for train, test in ((both, placed), (placed, both)):
        with pytest.raises(InputError, match="12 of .* test rows have the id"):
            check_disjoint(train, test)


def test_a_name_of_an_object_is_that_of_its_group_or_of_its_row(make_catalog):
    first = make_catalog(4, tag="/a")
    second = make_catalog(4, 1, tag="/b")
    first.table["group"][:] = ["x", "x", "", ""]
    second.table["group"][:] = ["x", "y", "", ""]
    names = [*object_names(first), *object_names(second)]
    assert names[:2] == ["catalogue/x"] * 2 and names[4:6] == [names[0], "catalogue/y"]
    assert len(set(names)) == 6

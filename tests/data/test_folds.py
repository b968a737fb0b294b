"""Folds: every object tested once, groups whole, two surveys alike."""

import numpy as np
import pytest

from kphotoz import data


@pytest.fixture(scope="module")
def splits(make_catalog):
    groups = np.array([f"g{i // 3}" for i in range(240)], object)
    sample = make_catalog(240, group=groups)
    parts = np.array_split(np.arange(240), 4)
    names = ("train", "validation", "calibration", "test")
    return {name: sample.select(rows) for name, rows in zip(names, parts, strict=True)}


def test_every_object_is_tested_once_and_trained_on_elsewhere(splits):
    tested = []
    for fold in range(4):
        parts = data.fold_splits(splits, 4, fold)
        ids = {name: set(part.table["id"]) for name, part in parts.items()}
        assert sum(map(len, ids.values())) == 240
        assert len(set.union(*ids.values())) == 240
        assert not ids["calibration"]
        assert 0.05 < len(ids["validation"]) / 240 < 0.2
        tested += ids["test"]
    assert sorted(tested) == sorted(set(tested))
    assert len(tested) == 240


def test_groups_stay_together(splits):
    parts = data.fold_splits(splits, 4, 2)
    groups = {name: {int(i.split("-")[1]) // 3 for i in part.table["id"]}
              for name, part in parts.items()}  # fmt: skip
    assert not groups["test"] & (groups["train"] | groups["validation"])
    assert not groups["train"] & groups["validation"]


def test_two_surveys_of_the_same_objects_agree(make_catalog):
    whole, part = make_catalog(200), make_catalog(90)
    nothing = np.zeros(0, int)
    one, two = (
        data.fold_splits({"train": s, "test": s.select(nothing)}, 5, 3)
        for s in (whole, part)
    )
    common = set(part.table["id"])
    assert set(one["test"].table["id"]) & common == set(two["test"].table["id"])

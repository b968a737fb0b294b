import dataclasses

import numpy as np
import pytest

from kphotoz.data import check_disjoint
from kphotoz.errors import InputError


def test_table_and_pixels_hold_what_the_builder_wrote_in_its_order(tiny, make_example):
    train = tiny["train"]
    assert len(train) == 40 and len(tiny["calibration"]) == 0
    for row, image in enumerate(train.inputs()):
        wanted = make_example(row)
        np.testing.assert_array_equal(image, wanted["image"])
        assert train.table["id"][row] == wanted["id"]
        assert train.table["redshift"][row] == wanted["redshift"]
    assert np.isnan(train.table["z_true"]).all()
    assert set(train.table["survey"]) == {"tiny_sky"}


def test_subset_of_a_subset_shares_the_pixels_and_keeps_the_order(tiny, make_example):
    subset = tiny["train"].select(np.array([30, 2, 7])).select([False, True, True])
    assert list(subset.table["id"]) == ["object-7", "object-30"]
    np.testing.assert_array_equal(subset.inputs()[1], make_example(30)["image"])
    assert subset._parts[0][0] is tiny["train"]._parts[0][0]


def test_union_puts_the_second_sample_after_the_first(tiny, make_example):
    both = tiny["train"].select([0, 39]).union(tiny["test"])
    assert len(both) == 12
    np.testing.assert_array_equal(both.inputs()[2], make_example(40)["image"])
    np.testing.assert_array_equal(
        both.gather(np.array([11, 0])),
        [make_example(49)["image"], make_example(0)["image"]],
    )


def test_limited_images_are_spread_over_the_sample(tiny, make_example):
    images = tiny["train"].inputs(limit=3)
    wanted = [make_example(number)["image"] for number in (0, 20, 39)]
    np.testing.assert_array_equal(images, wanted)


@pytest.mark.parametrize("rows", [[0, 0], [40], [-1], [True, False]])
def test_impossible_rows_are_refused(tiny, rows):
    with pytest.raises(ValueError, match="Received"):
        tiny["train"].select(np.array(rows))


def test_fingerprint_tells_samples_apart(tiny):
    train = tiny["train"]
    prints = {
        sample.fingerprint() for sample in (train, tiny["test"], train.select([1]))
    }
    assert len(prints) == 3
    assert train.fingerprint() == train.select(np.arange(40)).fingerprint()


def test_another_build_or_number_has_another_fingerprint(make_catalog):
    plain = make_catalog(5)
    assert make_catalog(5).fingerprint() == plain.fingerprint()
    fainter = make_catalog(5, magnitude=plain.table["magnitude"] + 1)
    assert fainter.fingerprint() != plain.fingerprint()
    again = make_catalog(5)
    ((store, _),) = again._parts
    store.info = dataclasses.replace(store.info, built="catalog/a-0123456789ab/1.0.0")
    assert again.fingerprint() != plain.fingerprint()


def test_two_spectra_of_one_source_in_training_and_test_are_refused(tiny):
    train = tiny["train"]  # objects 2 k and 2 k + 1 are one group
    check_disjoint(train, tiny["test"])
    with pytest.raises(InputError, match="1 of 2 test rows.*'object-5'"):
        check_disjoint(train.select([4, 10]), train.select([5, 20]))


@pytest.mark.parametrize(
    ("unit", "zero_points", "unlike"),
    [
        ("uJy", (None, None), None),
        ("nJy", (None, 31.4), "unit"),
        ("micro", (23.9, 23.9), None),  # another name for the same scale
        ("micro", (23.9, 23.905), None),
        ("uJy", (23.9, 31.4), "zero_point"),
    ],
)
def test_known_zero_points_say_more_than_the_name_of_a_unit(
    make_sample, unit, zero_points, unlike
):
    info = make_sample(2).info
    facts = [
        {"zero_point": None if zero_point is None else [zero_point] * 3}
        for zero_point in zero_points
    ]
    one = dataclasses.replace(info, unit="uJy", metadata=facts[0])
    two = dataclasses.replace(info, unit=unit, metadata=facts[1])
    assert one.unlike(two) == two.unlike(one) == unlike

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky

from kphotoz.data.duplicates import find_duplicates, find_same_ids

ARCSEC = 1 / 3600


def scattered(rng, count, ra, dec, width):
    """Returns positions within `width` degrees of a place, RA wrapped to 0..360."""
    offset = rng.uniform(-width, width, (2, count))
    up = np.clip(dec + offset[0], -90, 90)
    along = ra + offset[1] / np.maximum(np.cos(np.radians(up)), 1e-7)
    return along % 360, up


@pytest.mark.parametrize(
    ("ra", "dec"), [(150.1, 2.2), (0.0, -1.0), (12.0, 89.999), (200.0, -89.999)]
)
def test_matches_are_astropys_nearest_neighbours(ra, dec):
    rng = np.random.default_rng(1)
    first = scattered(rng, 400, ra, dec, 20 * ARCSEC)
    second = scattered(rng, 300, ra, dec, 20 * ARCSEC)
    found = find_duplicates(*first, *second, 1.0)
    one, two = (SkyCoord(*p, unit="deg") for p in (first, second))
    row, separation, _ = two.match_to_catalog_sky(one)
    wanted = np.where(separation <= 1.0 * u.arcsec, row, -1)
    np.testing.assert_array_equal(found, wanted)
    pairs = search_around_sky(one, two, 1.0 * u.arcsec)
    assert set(np.flatnonzero(found >= 0)) == set(pairs[1])
    assert 10 < (found >= 0).sum() < 290  # both outcomes are tried


def test_hand_made_pairs_across_ra_zero_and_over_the_pole():
    ra1 = np.array([359.9999, 10.0, 40.0, np.nan])
    dec1 = np.array([0.0, 89.9999, 5.0, 5.0])
    # 0.72" across RA 0; 0.72" over the pole, on the other side; 2" away; unknown.
    ra2 = np.array([0.0001, 190.0, 40.0, np.nan])
    dec2 = np.array([0.0, 89.9999, 5.0 + 2 * ARCSEC, 5.0])
    assert find_duplicates(ra1, dec1, ra2, dec2, 1.0).tolist() == [0, 1, -1, -1]
    assert find_duplicates(ra1, dec1, ra2, dec2, 0.7).tolist() == [-1] * 4
    assert find_duplicates(ra1, dec1, ra2, dec2, 2.001).tolist() == [0, 1, 2, -1]


def test_nearest_of_several_wins_and_one_row_may_match_twice():
    dec1 = np.array([0.0, 0.8 * ARCSEC])
    dec2 = np.array([0.1 * ARCSEC, 0.7 * ARCSEC, 0.75 * ARCSEC])
    found = find_duplicates(np.zeros(2), dec1, np.zeros(3), dec2, 1.0)
    assert found.tolist() == [0, 1, 1]


def test_empty_catalogues_match_nothing():
    none, one = np.array([]), np.array([1.0])
    assert find_duplicates(none, none, one, one, 1.0).tolist() == [-1]
    assert find_duplicates(one, one, none, none, 1.0).tolist() == []


def test_equal_ids_match_and_empty_ones_do_not():
    first = np.array(["7", "", "43", "7"], object)
    second = np.array(["43", "", "8", "7"], object)
    assert find_same_ids(first, second).tolist() == [2, -1, -1, 0]


@pytest.mark.parametrize("nowhere", [-99.0, -999.0, 9999.0, np.inf])
def test_rows_without_a_position_are_not_at_one_place(nowhere):
    ra, dec = np.array([10.0, nowhere]), np.array([5.0, nowhere])
    assert find_duplicates(ra, dec, ra, dec, 1.0).tolist() == [0, -1]

import numpy as np

from kphotoz.data.grouping import group_by_position, split_of_groups

FRACTIONS = (0.6, 0.12, 0.08, 0.2)


def test_fractions_are_met_within_four_sigma_and_groups_are_whole():
    groups = np.repeat([f"g{number}" for number in range(20_000)], 2).astype(object)
    splits = split_of_groups(groups, FRACTIONS, 0)
    np.testing.assert_array_equal(splits[::2], splits[1::2])
    names = ("train", "validation", "calibration", "test")
    for name, fraction in zip(names, FRACTIONS, strict=True):
        sigma = np.sqrt(fraction * (1 - fraction) / 20_000)
        # 4 sigma, 4 splits: false alarms in 1 of 4,000 seeds; the seed is fixed
        assert abs(np.mean(splits == name) - fraction) < 4 * sigma


def test_split_depends_on_group_and_seed_alone():
    groups = np.array([f"g{number}" for number in range(500)], object)
    whole = split_of_groups(groups, FRACTIONS, 0)
    order = np.random.default_rng(0).permutation(500)[:90]
    np.testing.assert_array_equal(
        split_of_groups(groups[order], FRACTIONS, 0), whole[order]
    )
    assert (split_of_groups(groups, FRACTIONS, 1) != whole).any()


def test_empty_fraction_gives_an_empty_split():
    groups = np.array([f"g{number}" for number in range(500)], object)
    found = set(split_of_groups(groups, (0.5, 0.0, 0.0, 0.5), 0))
    assert found == {"train", "test"}


def test_friends_of_friends_cross_the_meridian_and_the_pole():
    second = 1 / 3600
    ra = np.array([0.0, 360 - second, 3 * second, 10, 0, 180, np.nan, 10])
    dec = np.array([0.0, 0, 0, 0, 90 - second, 90 - second, 5, 1])
    groups = group_by_position(ra, dec, 3.5)
    # 1 and 2 are 4 arcsec apart, but both are friends of 0; 4 and 5 meet at the pole
    same = groups[:, None] == groups[None]
    wanted = np.eye(8, dtype=bool)
    for friends in ([0, 1, 2], [4, 5]):
        wanted[np.ix_(friends, friends)] = True
    np.testing.assert_array_equal(same, wanted)


def test_many_rows_of_one_position_are_one_group_without_all_their_pairs():
    ra, dec = np.zeros(60_000), np.zeros(60_000)  # 1.8e9 pairs
    ra[-2:] = 10.0, 20.0
    groups = group_by_position(ra, dec, 3.0)
    names, counts = np.unique(groups.astype(str), return_counts=True)
    assert sorted(counts.tolist()) == [1, 1, 59_998]
    assert set(names) == {"sky-0+0", "sky-72000+0", "sky-144000+0"}


def test_friends_agree_with_astropy_pairs():
    from astropy import units
    from astropy.coordinates import SkyCoord, search_around_sky
    from scipy.cluster.hierarchy import DisjointSet

    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(150, 150.02, 200), rng.uniform(2, 2.02, 200)
    sky = SkyCoord(ra, dec, unit="deg")
    first, second, _, _ = search_around_sky(sky, sky, 3 * units.arcsec)
    sets = DisjointSet(range(200))
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        sets.merge(a, b)
    wanted = np.array([sets[row] for row in range(200)])
    groups = group_by_position(ra, dec, 3.0)
    np.testing.assert_array_equal(
        groups[:, None] == groups[None], wanted[:, None] == wanted[None]
    )
    assert 1 < sets.n_subsets < 200


def test_groups_are_named_alike_in_any_order_and_company():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 300), rng.uniform(-90, 90, 300)
    ra[100:150], dec[100:150] = ra[:50], np.clip(dec[:50] + 0.3 / 3600, -90, 90)
    names = group_by_position(ra, dec, 1.0)
    order = rng.permutation(300)
    np.testing.assert_array_equal(
        group_by_position(ra[order], dec[order], 1.0), names[order]
    )
    np.testing.assert_array_equal(
        group_by_position(ra[:200] + 360, dec[:200], 1.0), names[:200]
    )
    assert names[0] == names[100] and len(set(names)) == 250
    assert group_by_position(np.array([np.nan]), np.zeros(1), 1.0).tolist() == [""]

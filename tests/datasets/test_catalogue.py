import numpy as np

from kphotoz_datasets.mock_hsc import catalogue


def test_larger_count_contains_the_smaller_in_the_same_places():
    small = catalogue.draw(300, 2, "bright", "exact")
    large = catalogue.draw(700, 2, "bright", "exact")
    assert len(large["id"]) == 700
    for name in small:
        np.testing.assert_array_equal(small[name], large[name][:300])


def test_label_noise_changes_labels_and_nothing_else():
    exact = catalogue.draw(200, 0, "deep", "exact")
    fitted = catalogue.draw(200, 0, "deep", "template_fit")
    for name in exact:
        same = np.array_equal(exact[name], fitted[name])
        assert same == (name not in ("redshift", "redshift_error")), name
    np.testing.assert_array_equal(exact["redshift"], exact["z"])


def test_ids_and_keys_are_unique_over_selections_and_seeds():
    tables = [
        catalogue.draw(600, seed, selection)
        for seed in (0, 1)
        for selection in ("deep", "bright")
    ]
    ids = np.concatenate([table["id"] for table in tables])
    keys = np.concatenate([table["key"] for table in tables])
    assert len(set(ids)) == len(np.unique(keys, axis=0)) == 2400
    redshifts = np.concatenate([table["z"] for table in tables])
    assert len(np.unique(redshifts)) == 2400  # different galaxies, not only names


def test_neighbours_are_no_galaxies_of_the_survey():
    pool = catalogue.neighbour_pool(0, "deep")
    table = catalogue.draw(3000, 0, "deep")
    assert not np.isin(pool["z"], table["z"]).any()
    assert pool["magnitude"].max() < 25.6


def test_deep_selection_is_all_galaxies_and_bright_follows_hsc_spectra():
    deep = catalogue.draw(2000, 5, "deep")
    bright = catalogue.draw(1000, 5, "bright")
    assert deep["magnitude"].max() < 23.55
    assert 0.5 < np.median(deep["z"]) < 0.8
    # Median i and z of the real triplets: 20.83 and 0.534.
    assert abs(np.median(bright["magnitude"]) - 20.83) < 0.3
    assert abs(np.median(bright["z"]) - 0.534) < 0.04

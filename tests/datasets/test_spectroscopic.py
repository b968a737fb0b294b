import numpy as np

from kphotoz_datasets.simulate import spectroscopic


def test_no_galaxy_is_taken_twice_even_by_equal_targets():
    library = np.random.default_rng(0).normal([0.4, 21, 1.5], [0.02, 0.4, 0.2], (90, 3))
    rows = spectroscopic.match(np.repeat(library[:3], 20, axis=0), library)
    assert len(rows) == 60
    assert len(set(rows.tolist())) == 60


def test_a_target_takes_its_own_galaxy_and_an_impossible_one_takes_none():
    library = np.array([[0.1, 18.0, 1.0], [0.5, 22.0, 2.0], [1.0, 24.0, 0.5]])
    targets = np.concatenate([library[[2, 0]], [[0.9, 17.0, 4.9]]])
    assert spectroscopic.match(targets, library).tolist() == [2, 0]


def test_targets_stay_inside_the_cuts_and_are_bright_like_hsc_spectra():
    targets = spectroscopic.draw_targets(20_000, np.random.default_rng(1))
    z, magnitude, colour = np.expm1(targets[:, 0]), targets[:, 1], targets[:, 2]
    assert z.min() > 0.01 and z.max() < 4
    assert magnitude.min() > 17 and magnitude.max() < 25 and abs(colour).max() < 5
    # Medians of the 429,235 real triplets inside the cuts: 0.534, 20.83, 1.83.
    assert abs(np.median(z) - 0.534) < 0.02
    assert abs(np.median(magnitude) - 20.83) < 0.1
    assert abs(np.median(colour) - 1.83) < 0.05

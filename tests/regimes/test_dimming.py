import dataclasses

import numpy as np
import pytest
from scipy import stats

from kphotoz.data import Sample, check_disjoint
from kphotoz.errors import InputError
from kphotoz.regimes import dimming
from kphotoz.regimes.dimming import degrade, dim, faint_magnitudes

UNCHANGED = ("group", "redshift", "redshift_error", "z_true", "ra", "dec", "survey")


def with_inputs(sample, inputs, magnitude):
    """Returns a sample like another one, of given inputs and magnitudes."""
    store = sample._parts[0][0]
    table = {k: np.resize(v, len(inputs)) for k, v in store.table.items()}
    made = type(store)(
        dataclasses.replace(store.info, input_shape=inputs.shape[1:]),
        table | {"magnitude": np.asarray(magnitude, float)},
        inputs.astype(np.float32),
    )
    return Sample([(made, np.arange(len(inputs)))])


@pytest.fixture
def blank(make_sample):
    """Images of nothing but sky noise, of another level in each band."""
    noise = np.random.default_rng(3).normal(0, [0.5, 1, 4], (60, 24, 20, 3))
    return with_inputs(make_sample(60), noise, np.full(60, 20.0))


@pytest.fixture
def catalogue(make_catalog):
    return make_catalog(400, seed=4)


def test_noise_of_dimmed_blank_sky_is_that_of_the_original(blank):
    # 60 x 24 x 20 pixels give a scatter to 0.4 %; the tolerance is five times that.
    for fading in (0.05, 0.75, 3.0):
        copies = dim(blank, np.full(60, 20.0 + fading), 1).inputs()
        for images in (copies, blank.inputs()):
            scatter = images.reshape(-1, 3).std(0)
            np.testing.assert_allclose(scatter, [0.5, 1, 4], rtol=0.02)


def test_images_without_noise_fade_exactly(make_sample):
    pixels = np.zeros((3, 16, 12, 2))
    pixels[:, 6:10, 4:8] = np.arange(1, 33).reshape(4, 4, 2)
    sample = with_inputs(make_sample(3), pixels, [19.0, 20.0, 21.0])
    copies = dim(sample, np.array([19.0, 22.5, 23.0]), 0).inputs()
    for row, factor in enumerate((1.0, 0.1, 0.1**0.8)):
        np.testing.assert_allclose(copies[row], factor * pixels[row], rtol=1e-6)


def test_fluxes_fade_and_keep_their_errors_and_signal_to_noise_falls(catalogue):
    # Oracle: the copies' pulls about 0.1 of the true flux have variance 1, for pulls of
    # variance 1 about the true flux; 5 sigma of 30,000 pulls.
    rng = np.random.default_rng(8)
    error = rng.uniform(0.5, 2, (10_000, 3))
    measured = 50 + error * rng.normal(size=error.shape)
    photometry = np.stack([measured, error], -1)
    sample = with_inputs(catalogue, photometry, np.full(10_000, 22.0))
    copies = dim(sample, np.full(10_000, 24.5), 2).inputs().astype(float)
    np.testing.assert_array_equal(copies[..., 1], photometry[..., 1].astype("float32"))
    pull = (copies[..., 0] - 5) / error
    assert abs(pull.mean()) < 5 / np.sqrt(30_000)
    assert abs(pull.var() - 1) < 5 * np.sqrt(2 / 30_000)


def test_bands_that_were_not_observed_or_not_detected_remain_so(catalogue):
    flux = [[np.nan, np.nan], [0.0, 2.0], [0.0, np.nan], [8.0, np.nan], [8.0, 1e-9]]
    sample = with_inputs(catalogue, np.array([flux]), [20.0])
    copy = dim(sample, np.array([22.5]), 0).inputs()[0]
    wanted = [[np.nan, np.nan], [0.0, 2.0], [0.0, np.nan], [0.8, np.nan], [0.8, 1e-9]]
    np.testing.assert_allclose(copy, wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["blank", "catalogue"])
def test_copies_depend_on_seed_and_row_and_on_nothing_else(kind, request):
    sample = request.getfixturevalue(kind)
    wanted = sample.table["magnitude"] + 1
    whole = dim(sample, wanted, 5)
    part = dim(sample.select(np.arange(7)), wanted[:7], 5)
    if kind == "catalogue":  # of images the sample's noise enters
        np.testing.assert_array_equal(part.inputs(), whole.inputs()[:7])
    np.testing.assert_array_equal(dim(sample, wanted, 5).inputs(), whole.inputs())
    assert not np.array_equal(dim(sample, wanted, 6).inputs(), whole.inputs())
    chosen = whole.select(np.array([3, 50]))
    np.testing.assert_array_equal(chosen.inputs(), whole.inputs()[[3, 50]])


def test_rows_beyond_one_chunk_are_their_own_objects(catalogue):
    copies = dim(catalogue, catalogue.table["magnitude"], 0)
    assert len(catalogue) > dimming._CHUNK
    np.testing.assert_array_equal(copies.inputs(), catalogue.inputs())


def test_labels_and_groups_stay_and_ids_tell_the_copies(catalogue):
    copies = dim(catalogue, catalogue.table["magnitude"] + 0.5, 0)
    for name in UNCHANGED:
        np.testing.assert_array_equal(copies.table[name], catalogue.table[name])
    np.testing.assert_allclose(
        copies.table["magnitude"] - catalogue.table["magnitude"], 0.5
    )
    both = catalogue.union(copies)
    assert len(set(both.table["id"])) == len(both) == 2 * len(catalogue)


def test_copies_of_test_objects_are_found_in_a_training_set(catalogue):
    copies = dim(catalogue, catalogue.table["magnitude"] + 0.5, 0)
    check_disjoint(copies.select(np.arange(10)), catalogue.select(np.arange(10, 20)))
    with pytest.raises(InputError, match="share an object"):
        check_disjoint(copies, catalogue.select([3]))


def test_magnitudes_follow_the_fainter_part_of_the_wanted_sample():
    # A bright object sees all of `like` within its reach; KS against that part. The
    # false-alarm rate is 1e-4 a seed.
    like = np.random.default_rng(0).normal(22, 0.6, 5000)
    drawn = faint_magnitudes(np.full(4000, 20.5), like, seed=1)
    reached = like[(like > 20.5) & (like <= 23.5)]
    assert stats.ks_2samp(drawn, reached).pvalue > 1e-4
    # Objects within `like`: their probability transforms among the fainter are uniform.
    magnitude = np.random.default_rng(2).uniform(21, 22.5, 4000)
    drawn = faint_magnitudes(magnitude, like, seed=3)
    low, high, at = (
        stats.norm.cdf(m, 22, 0.6) for m in (magnitude, magnitude + 3, drawn)
    )
    assert stats.kstest((at - low) / (high - low), "uniform").pvalue > 1e-4
    assert (drawn > magnitude).all() and (drawn <= magnitude + 3).all()


def test_objects_with_nothing_fainter_in_reach_keep_their_magnitude():
    like = np.array([22.0, 23.0, np.nan])
    drawn = faint_magnitudes(np.array([24.0, 18.9, 19.5, np.nan, 23.0]), like, 0)
    np.testing.assert_array_equal(drawn, [24.0, 18.9, 22.0, np.nan, 23.0])


def test_draws_of_a_row_do_not_depend_on_the_rows_after_it():
    like = np.linspace(20, 25, 900)
    magnitude = np.linspace(19, 22, 50)
    some, all_of_them = (faint_magnitudes(magnitude[:n], like, 4) for n in (20, 50))
    np.testing.assert_array_equal(some, all_of_them[:20])


def test_degraded_copies_take_the_magnitudes_drawn(catalogue, make_catalog):
    like = make_catalog(100, seed=9)
    like.table["magnitude"][:] += 1.5
    copies = degrade(catalogue, like, seed=2)
    wanted = faint_magnitudes(
        catalogue.table["magnitude"], like.table["magnitude"], seed=2
    )
    np.testing.assert_allclose(copies.table["magnitude"], wanted)
    # Fluxes agree: the copies' last band is fainter by as much, within the noise.
    fading = wanted - catalogue.table["magnitude"]
    flux, error = catalogue.inputs()[:, -1].T.astype(float)
    pull = (copies.inputs()[:, -1, 0] - flux * 10 ** (-0.4 * fading)) / error
    assert abs(pull.mean()) < 0.25 and (abs(pull) < 5).all()


def test_an_object_without_a_magnitude_is_copied_as_it_is(catalogue):
    magnitude = catalogue.table["magnitude"].copy()
    magnitude[3] = np.nan
    sample = with_inputs(catalogue, catalogue.inputs(), magnitude)
    copies = degrade(sample, catalogue, seed=0)
    np.testing.assert_array_equal(copies.inputs()[3], catalogue.inputs()[3])
    assert np.isnan(copies.table["magnitude"][3])


def test_missing_magnitudes_are_refused_with_the_way_to_give_them(
    make_sample, catalogue
):
    without = make_sample(20)
    with pytest.raises(InputError, match="0 of 20.*--key magnitude=NAME"):
        degrade(without, catalogue, seed=0)
    with pytest.raises(InputError, match="0 of 20"):
        degrade(catalogue, without, seed=0)


@pytest.mark.parametrize("change", [-0.01, np.nan])
def test_brighter_or_unknown_magnitudes_are_refused(catalogue, change):
    wanted = catalogue.table["magnitude"] + 1
    wanted[7] = catalogue.table["magnitude"][7] + change
    with pytest.raises(ValueError, match="in row 7"):
        dim(catalogue, wanted, 0)
    with pytest.raises(ValueError, match="shape"):
        dim(catalogue, wanted[1:], 0)

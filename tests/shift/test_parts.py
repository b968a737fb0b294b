import numpy as np
import pytest
import scipy.stats

from kphotoz import shift
from kphotoz.errors import InputError


def normal(seed, rows, features=2):
    return np.random.default_rng(seed).normal(size=(rows, features))


def test_holm_on_a_worked_example():
    # Sorted p times 4, 3, 2, 1, never decreasing: by hand.
    found = shift.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])


def test_drift_is_named_signed_and_in_standard_deviations():
    source, target = normal(0, 4000), normal(1, 4000) + [0.0, 0.27]
    still, moved = shift.feature_drift(source, target, ["r", "g"])
    assert (still.name, moved.name) == ("r", "g")
    assert moved.effect == pytest.approx(0.27, abs=0.07)
    assert moved.median == pytest.approx(0.27, abs=0.1)
    # Two unit Gaussians d apart differ most in the middle: 2 Phi(d / 2) - 1.
    assert moved.ks == pytest.approx(2 * scipy.stats.norm.cdf(0.135) - 1, abs=0.03)
    assert moved.p_holm < 1e-6 < 0.01 < still.p


def test_a_constant_feature_has_no_effect_size():
    found = shift.feature_drift(np.ones((20, 1)), np.ones((20, 1)), ["seen"])
    assert np.isnan(found[0].effect) and found[0].p == 1.0
    with pytest.raises(InputError, match="1 features.*2 names"):
        shift.feature_drift(np.ones((20, 1)), np.ones((20, 1)), ["a", "b"])


def test_distance_is_mahalanobis_and_tail_uniform_for_the_source():
    mixing = np.array([[2.0, 0.5], [0.0, 0.3]])
    support = shift.Support(normal(0, 20000) @ mixing)
    point = np.array([[1.0, -0.4]])
    inverse = np.linalg.inv(mixing.T @ mixing)
    wanted = np.sqrt(point[0] @ inverse @ point[0])
    assert support.distance(point)[0] == pytest.approx(wanted, rel=0.05)
    tail = support.tail(normal(1, 4000) @ mixing)
    assert scipy.stats.kstest(tail, "uniform").pvalue > 0.001
    assert support.tail(np.array([[100.0, 0.0]]))[0] == pytest.approx(1 / 10001)


@pytest.mark.parametrize(("rows", "level"), [(20, 1 / 11), (1000, 0.01)])
def test_few_objects_still_have_an_outside(rows, level):
    support = shift.Support(normal(0, rows))
    assert support.level == pytest.approx(level)
    assert support.outside(normal(1, 100) + 50.0) == 1.0
    assert support.outside(np.zeros((9, 2))) == 0.0


def test_support_needs_objects_and_the_same_features():
    with pytest.raises(InputError, match="20 rows or more"):
        shift.Support(normal(0, 19))
    support = shift.Support(normal(0, 20))
    with pytest.raises(InputError, match="2 features.*3"):
        support.distance(normal(0, 5, 3))
    assert support.tail(np.zeros((0, 2))).shape == (0,)


def test_weights_are_the_ratio_of_two_gaussians():
    source, target = normal(0, 6000, 1), normal(1, 6000, 1) + 0.5
    weights = shift.density_ratio(source, target)
    wanted = np.exp(0.5 * source[:, 0] - 0.125)  # N(0.5, 1) over N(0, 1)
    assert np.corrcoef(weights, wanted)[0, 1] > 0.99
    assert np.average(source[:, 0], weights=weights) == pytest.approx(0.5, abs=0.05)
    # E w^2 of that ratio is exp(0.25).
    assert shift.effective_size(weights) == pytest.approx(6000 * np.exp(-0.25), rel=0.1)


def test_label_shift_finds_other_proportions_from_predictions_alone():
    generator = np.random.default_rng(0)

    def sample(rows, share):
        z = np.where(generator.random(rows) < share, 0.3, 0.8)
        z = z + generator.normal(0, 0.05, rows)
        return z, z + generator.normal(0, 0.12, rows)  # labels, predictions

    (labels, predicted), (_, asked) = sample(20000, 0.5), sample(20000, 0.2)
    found = shift.label_shift(predicted, labels, asked, bins=2)
    np.testing.assert_allclose(found.source, [0.5, 0.5], atol=0.01)
    np.testing.assert_allclose(found.target, [0.2, 0.8], atol=0.02)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (([0.1] * 9, [0.1] * 9, [0.1] * 20), "ten or more finite source pred"),
        (([0.1] * 20, [np.nan] * 20, [0.1] * 20), "20 not finite"),
        (([0.1] * 20, [0.5] * 20, [0.1] * 20), "fill two bins"),
        (([0.1] * 20, [0.5] * 21, [0.1] * 20), "20 and 21"),
    ],
)
def test_label_shift_refuses_what_it_cannot_use(arrays, words):
    with pytest.raises(InputError, match=words):
        shift.label_shift(*arrays)


def test_matched_rows_have_one_distribution_and_leave_out_the_unknown():
    source, target = normal(0, 5000), normal(1, 3000) + [0.8, 0.0]
    target[0] = np.nan
    mine, theirs = shift.match_rows(source, target, bins=12)
    assert len(mine) == len(theirs) > 1000
    assert 0 not in theirs and len(set(mine)) == len(mine)
    gap = source[mine].mean(axis=0) - target[theirs].mean(axis=0)
    assert np.abs(gap).max() < 0.12
    none = shift.match_rows(np.zeros((5, 1)), np.full((5, 1), np.nan))
    assert [len(side) for side in none] == [0, 0]


def test_depth_is_matched_by_adding_what_lacks_in_quadrature():
    generator = np.random.default_rng(0)
    deep = generator.normal(0, [1.0, 4.0], (40, 24, 20, 2))
    wide = generator.normal(0, [2.0, 3.0], (40, 24, 20, 2))
    for side in shift.match_depth(deep, wide):
        np.testing.assert_allclose(side.std(axis=(0, 1, 2)), [2, 4], rtol=0.03)


def test_depth_of_catalogues_is_matched_with_their_errors():
    fluxes = np.zeros((5000, 2, 2)) + 1.0
    deep, wide = fluxes.copy(), fluxes.copy()
    wide[..., 1] = [3.0, 1.0]
    deep[0, 0] = np.nan
    mine, theirs = shift.match_depth(deep, wide)
    np.testing.assert_allclose(np.nanmedian(mine[..., 1], axis=0), [3, 1], rtol=1e-6)
    assert np.nanstd(mine[:, 0, 0]) == pytest.approx(np.sqrt(8), rel=0.05)
    np.testing.assert_array_equal(theirs, wide.astype("float32"))
    assert np.isnan(mine[0, 0]).all()
    with pytest.raises(InputError, match="one shape"):
        shift.match_depth(deep, wide[:, :1])

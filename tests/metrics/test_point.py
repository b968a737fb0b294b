import numpy as np
import pytest
from astropy.stats import biweight_location, biweight_midvariance
from scipy import stats

from kphotoz import metrics
from kphotoz.errors import InputError

# dz = 0, 0.1, -0.1, 0.2, 0.5 by construction: z_pred = z + dz (1 + z).
Z = np.array([0.0, 1.0, 1.0, 0.5, 3.0])
PRED = np.array([0.0, 1.2, 0.8, 0.8, 5.0])
BY_HAND = {
    "bias_median": 0.1,
    "bias_mean": 0.14,
    "nmad": 1.4826 * 0.1,
    "nmad_148": 0.148,
    "sigma_iqr": 0.2 / 1.349,
    "outlier_015": 2 / 5,
    "outlier_005": 4 / 5,
    "outlier_rail": 1 / 5,  # cut = 3 * 0.2 / 1.349 = 0.445
    "catastrophic": 1 / 5,
    "rmse": np.sqrt(0.31 / 5),
    "mse": (0.04 + 0.04 + 0.09 + 4.0) / 5,
    "mae": (0.2 + 0.2 + 0.3 + 2.0) / 5,
    # sum (z - 1.1)^2 = 1.21 + 0.01 + 0.01 + 0.36 + 3.61
    "r2": 1 - 4.17 / 5.2,
    # u / (1 + u) with u = (dz / 0.15)^2 = 0, 4/9, 4/9, 16/9, 100/9
    "hsc_loss": (4 / 13 + 4 / 13 + 16 / 25 + 100 / 109) / 5,
}


@pytest.fixture
def sample():
    generator = np.random.default_rng(11)
    z = generator.uniform(0.01, 3.0, 501)
    return z + 0.05 * (1 + z) * generator.standard_t(2, 501), z


@pytest.mark.parametrize("name", BY_HAND)
def test_metric_equals_the_value_computed_by_hand(name):
    assert metrics.POINT[name](PRED, Z) == pytest.approx(BY_HAND[name], abs=1e-12)


def test_every_metric_has_a_definition_in_words():
    assert set(metrics.DEFINITIONS) == set(metrics.POINT)
    assert "outlier" not in metrics.POINT
    assert set(metrics.DEFAULT) <= set(metrics.POINT)


def test_rail_definitions_are_met_to_1e12(sample):
    pred, z = sample
    error = (pred - z) / (1 + z)
    q25, q75 = np.percentile(error, [25, 75])
    iqr = (q75 - q25) / 1.349
    wanted = {
        "bias_median": np.median(error),
        "sigma_iqr": iqr,
        "nmad": 1.4826 * stats.median_abs_deviation(error),
        "outlier_rail": np.mean(np.abs(error) > max(0.06, 3 * iqr)),
    }
    found = {name: metrics.POINT[name](pred, z) for name in wanted}
    assert found == pytest.approx(wanted, abs=1e-12)


def test_rail_cut_has_its_floor_at_006():
    z = np.zeros(100)
    pred = np.full(100, 0.001)
    pred[:2] = 0.059, 0.061
    assert metrics.outlier_rail(pred, z) == 0.01


def test_biweights_equal_astropys(sample):
    pred, z = sample
    error = (pred - z) / (1 + z)
    b, s = biweight_location(error, c=6), np.sqrt(biweight_midvariance(error, c=9))
    assert metrics.bias_biweight(pred, z) == pytest.approx(b, abs=1e-12)
    assert metrics.scatter_biweight(pred, z) == pytest.approx(s, abs=1e-12)
    assert metrics.outlier_biweight(pred, z) == np.mean(np.abs(error - b) > 2 * s)
    tukey = np.sqrt(biweight_midvariance(pred - z))
    assert metrics.sigma_tukey(pred, z) == pytest.approx(tukey, abs=1e-12)


def test_constant_error_has_no_scatter_and_no_nan():
    z = np.linspace(0.1, 2, 30)
    pred = z + 0.25 * (1 + z)
    pred[-1] = z[-1] + 0.4 * (1 + z[-1])
    assert metrics.bias_biweight(pred, z) == pytest.approx(0.25, abs=1e-12)
    assert metrics.scatter_biweight(pred, z) < 1e-12
    assert metrics.nmad(pred, z) < 1e-12


def test_cuts_are_strict_except_the_mantis_one():
    z = np.zeros(4)
    # Representable exactly, so that the comparison is the definition's.
    assert metrics.outlier_015(np.full(4, 0.15), z) == 0.0
    assert metrics.outlier_005(np.full(4, 0.05), z) == 1.0
    assert metrics.catastrophic(np.full(4, 1.0), z) == 0.0


def test_known_shift_moves_the_bias_and_leaves_the_scatter(sample):
    pred, z = sample
    moved = pred + 0.01 * (1 + z)
    for name in ("bias_median", "bias_mean", "bias_biweight"):
        shift = metrics.POINT[name](moved, z) - metrics.POINT[name](pred, z)
        assert shift == pytest.approx(0.01, abs=1e-12), name
    for name in ("nmad", "sigma_iqr", "scatter_biweight"):
        before, after = metrics.POINT[name](pred, z), metrics.POINT[name](moved, z)
        assert after == pytest.approx(before, abs=1e-12), name


@pytest.mark.parametrize("name", metrics.POINT)
def test_row_order_does_not_matter(name, sample):
    pred, z = sample
    order = np.random.default_rng(3).permutation(z.size)
    metric = metrics.POINT[name]
    assert metric(pred[order], z[order]) == pytest.approx(metric(pred, z), abs=1e-12)


@pytest.mark.parametrize("name", metrics.POINT)
def test_leading_axes_are_independent_samples(name, sample):
    pred, z = sample
    other = pred[::-1].copy()
    both = metrics.POINT[name](np.stack([pred, other]), z)
    wanted = [metrics.POINT[name](pred, z), metrics.POINT[name](other, z)]
    np.testing.assert_allclose(both, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [40, 41])
@pytest.mark.parametrize("name", sorted(set(metrics.POINT) - {"sigma_iqr"}))
def test_integer_weights_equal_repeated_rows(name, size, sample):
    pred, z = (column[:size] for column in sample)
    times = np.random.default_rng(5).integers(0, 4, size)
    metric = metrics.POINT[name]
    if name == "outlier_rail":  # far from any cut: quantile rules differ by O(1/n)
        pred = z + np.where(np.arange(size) % 7, 0.01, 0.9) * (1 + z)
    repeated = metric(np.repeat(pred, times), np.repeat(z, times))
    assert metric(pred, z, times) == pytest.approx(repeated, abs=1e-12)
    assert metric(pred, z, times * 0.1) == pytest.approx(repeated, abs=1e-12)


def test_weighted_quartiles_are_averaged_inverse_cdf(sample):
    pred, z = sample
    times = np.random.default_rng(5).integers(0, 4, z.size)
    error = np.repeat((pred - z) / (1 + z), times)
    low, high = np.quantile(error, (0.25, 0.75), method="averaged_inverted_cdf")
    wanted = (high - low) / 1.349
    assert metrics.sigma_iqr(pred, z, times) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_nan_is_refused_and_never_counted_as_a_good_object(bad):
    with pytest.raises(InputError, match="1 of 3 NaN"):
        metrics.outlier_015([0.1, bad, 0.3], [0.1, 0.2, 0.3])


def test_empty_input_is_refused():
    with pytest.raises(InputError, match="at least one redshift"):
        metrics.nmad([], [])


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="agree in length"):
        metrics.nmad([0.1, 0.2], [0.1])


def test_golden_values_of_a_seeded_sample(sample):
    found = {name: metric(*sample) for name, metric in metrics.POINT.items()}
    assert found == pytest.approx(GOLDEN, rel=1e-9)


# Written once from this sample; a change of any definition shows here by name.
GOLDEN = {
    "bias_median": 0.00249162959876,
    "bias_mean": 0.00220331310023,
    "bias_biweight": 0.00247276448753,
    "nmad": 0.0622158912581,
    "nmad_148": 0.0621067847444,
    "scatter_biweight": 0.0763493615319,
    "sigma_iqr": 0.0621842936361,
    "outlier_015": 0.111776447106,
    "outlier_005": 0.437125748503,
    "outlier_biweight": 0.107784431138,
    "outlier_rail": 0.0678642714571,
    "catastrophic": 0.0059880239521,
    "rmse": 0.101484909103,
    "mse": 0.0725267313977,
    "mae": 0.164805921606,
    "r2": 0.902787598363,
    "hsc_loss": 0.17116097737,
    "sigma_tukey": 0.174712059299,
}

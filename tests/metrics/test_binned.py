import numpy as np
import pytest

from kphotoz import metrics
from kphotoz.errors import InputError


@pytest.fixture
def sample():
    generator = np.random.default_rng(2)
    z = generator.uniform(0, 1, 300)
    return z + 0.1 * generator.normal(size=300), z


def test_bins_are_right_closed_and_cover_what_the_edges_say(sample):
    pred, z = sample
    z[:2] = 0.5, 1.0
    bins = metrics.binned("nmad", pred, z, [0, 0.5, 1.0], "z_true")
    assert [b.n for b in bins] == [np.sum((z > 0) & (z <= 0.5)), np.sum(z > 0.5)]
    for found, (low, high) in zip(bins, [(0, 0.5), (0.5, 1.0)], strict=True):
        keep = (z > low) & (z <= high)
        wanted = metrics.nmad(pred[keep], z[keep])
        assert found.value == pytest.approx(wanted, abs=1e-12)


def test_bin_of_nineteen_is_nan_and_says_so_and_of_twenty_is_not():
    z = np.concatenate([np.full(19, 0.25), np.full(20, 0.75)])
    few, enough = metrics.binned("nmad", z, z, [0, 0.5, 1.0], "z_pred")
    assert np.isnan(few.value) and few.note == "fewer than 20 objects" and few.n == 19
    assert enough.value == 0.0 and enough.note == "" and enough.n == 20


def test_bins_in_another_quantity_carry_its_name(sample):
    pred, z = sample
    magnitude = 20 + 5 * z
    (found,) = metrics.binned("nmad", pred, z, [20, 26], magnitude, name="magnitude")
    assert str(found.window) == "20 < magnitude ≤ 26"
    assert found.value == pytest.approx(metrics.nmad(pred, z), abs=1e-12)
    with pytest.raises(ValueError, match="`name`"):
        metrics.binned("nmad", pred, z, [20, 26], magnitude)


def test_unbiased_scatter_looks_biased_in_z_true_only_when_z_is_shrunk():
    # z_pred = E[z | data]: no bias in bins of z_pred, regression to the mean in z_true.
    generator = np.random.default_rng(4)
    pred = generator.normal(1.0, 0.1, 20_000)
    z = pred + 0.1 * generator.normal(size=pred.size)
    edges = [0.8, 0.95]
    (on_pred,) = metrics.binned("bias_mean", pred, z, edges, "z_pred")
    (on_true,) = metrics.binned("bias_mean", pred, z, edges, "z_true")
    assert abs(on_pred.value) < 4 * on_pred.error + 0.003
    assert on_true.value > 10 * on_true.error


def test_models_are_averaged_in_bins_of_their_own_predictions(sample):
    pred, z = sample
    both = np.stack([pred, pred + 0.3])
    (found,) = metrics.binned("bias_mean", both, z, [0.0, 0.5], "z_pred")
    wanted = []
    for row in both:
        keep = (row > 0) & (row <= 0.5)
        wanted.append(metrics.bias_mean(row[keep], z[keep]))
    assert found.value == pytest.approx(np.mean(wanted), abs=1e-12)


@pytest.mark.parametrize("edges", [[1.0], [1.0, 0.5], [0.0, 0.0, 1.0]])
def test_edges_that_do_not_ascend_are_refused(edges, sample):
    with pytest.raises(InputError, match="ascending"):
        metrics.binned("nmad", *sample, edges, "z_true")


def test_empty_table_is_refused():
    with pytest.raises(InputError, match="at least one object"):
        metrics.binned("nmad", [], [], [0, 1], "z_true")


def test_a_bin_of_unusable_objects_has_no_number_and_stops_nothing():
    z = np.linspace(0.1, 2.0, 120)
    magnitude, weights = np.repeat([20.0, 22.0, 24.0], 40), np.ones(120)
    labels = z.copy()
    labels[:40], labels[40:61] = np.nan, -9
    weights[80:101] = 0
    bins = metrics.binned(
        "mae", z + 0.1, labels, [19, 21, 23, 25], magnitude, name="magnitude"
    )
    assert [one.n for one in bins] == [0, 19, 40]
    assert np.isnan([bins[0].value, bins[1].value]).all()
    assert bins[2].value == pytest.approx(0.1)
    assert bins[0].excluded == {"label non_finite": 40}
    (bin_,) = metrics.binned(
        "mae", z + 0.1, z, [23, 25], magnitude, name="magnitude", weights=weights
    )
    assert (bin_.n, bin_.note) == (19, "fewer than 20 objects")

"""Rows of one object are drawn together."""

import numpy as np
import pytest

from kphotoz import metrics
from kphotoz.errors import InputError
from kphotoz.metrics.strata import stratified


def exposures(counts, seed=0, own=0.0):
    """Returns predictions, redshifts and names: `counts` rows of each object."""
    generator = np.random.default_rng(seed)
    z = generator.uniform(0.1, 2.0, len(counts))
    dz = 0.05 * generator.normal(size=len(counts))
    names = np.array([f"g{i}" for i in range(len(counts))])
    rows = np.repeat(np.arange(len(counts)), counts)
    dz = dz[rows] + own * generator.normal(size=rows.size)
    return z[rows] + dz * (1 + z[rows]), z[rows], names[rows]


@pytest.mark.parametrize("names", [metrics.DEFAULT, ("bias_mean", "mae", "r2")])
def test_copies_of_every_object_change_neither_value_nor_error(names):
    pred, z, _ = exposures(np.ones(301, int))
    order = np.random.default_rng(2).permutation(4 * 301)
    copies = [np.tile(column, 4)[order] for column in (pred, z, np.arange(301))]
    wanted = metrics.summary(pred, z, names=names)
    found = metrics.summary(*copies[:2], names=names, groups=copies[2])
    for one, other in zip(found, wanted, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-12)
        assert one.error == pytest.approx(other.error, rel=1e-9)
        assert one.n == 4 * 301 and one.n_effective == pytest.approx(301)


@pytest.mark.parametrize("own", [0.0, 0.05])
def test_error_of_a_mean_is_that_of_the_totals_of_its_objects(own):
    counts = np.random.default_rng(4).integers(1, 9, 800)
    pred, z, names = exposures(counts, own=own)
    dz = (pred - z) / (1 + z)
    totals = [dz[names == name].sum() - dz.mean() * (names == name).sum()
              for name in np.unique(names)]  # fmt: skip
    # Of a ratio of totals (Cochran 1977, section 2.11).
    wanted = np.sqrt(np.sum(np.square(totals))) / dz.size
    (found,) = metrics.summary(pred, z, names=["bias_mean"], groups=names, draws=2000)
    # The spread of 2,000 draws knows itself to 2 %; 8 % is four sigma.
    assert found.error == pytest.approx(wanted, rel=0.08)
    assert found.value == pytest.approx(dz.mean(), abs=1e-12)


def test_groups_of_one_row_give_the_draws_of_rows():
    pred, z, names = exposures(np.ones(201, int))
    plain = metrics.summary(pred, z)
    for groups in (names, np.arange(201) * 7, names.astype(object), np.full(201, "")):
        assert metrics.summary(pred, z, groups=groups) == plain
    assert metrics.summary(pred, z, groups=np.full(201, np.nan)) == plain


def test_unnamed_rows_are_objects_of_their_own():
    pred, z, names = exposures(np.repeat([1, 3], [60, 40]))
    bare = np.where(np.repeat([1, 3], [60, 120]) == 1, "", names)
    found = [metrics.summary(pred, z, groups=groups) for groups in (names, bare)]
    assert [one.error for one in found[0]] == [one.error for one in found[1]]
    for missing in (None, np.nan):
        groups = np.array([g if g else missing for g in bare], object)
        assert metrics.summary(pred, z, groups=groups) == found[1]


def test_a_difference_of_few_objects_is_not_resolved_by_their_exposures():
    generator = np.random.default_rng(5)
    z = np.repeat(generator.uniform(0.1, 2.0, 40), 25)
    shared = np.repeat(generator.normal(size=(2, 40)), 25, axis=1)
    sides = [z + 0.05 * (1 + z) * (1 + one) for one in shared]
    sides = [np.tile(side, (5, 1)) for side in sides]
    once = metrics.paired_difference("bias_mean", *(s[:, ::25] for s in sides), z[::25])
    groups = np.repeat(np.arange(40), 25)
    found = metrics.paired_difference("bias_mean", *sides, z, groups=groups)
    rows = metrics.paired_difference("bias_mean", *sides, z)
    assert found.error == pytest.approx(once.error, rel=1e-9)
    # Twenty-five copies make the error of rows five times too small.
    assert rows.error == pytest.approx(found.error / 5, rel=0.15)
    assert rows.resolved and not found.resolved


def test_a_rate_of_zero_is_limited_by_its_objects():
    groups = np.repeat(np.arange(50), 10)
    z = np.full(500, 0.5)
    names = ["catastrophic"]
    (rows,) = metrics.summary(z, z, names=names)
    (found,) = metrics.summary(z, z, names=names, groups=groups)
    assert found.error == pytest.approx(10 * rows.error)


def test_one_object_alone_has_no_error():
    pred, z, names = exposures(np.array([50]), own=0.05)
    for one in metrics.summary(pred, z, names=["nmad", "mae"], groups=names):
        assert np.isfinite(one.value) and np.isnan(one.error)


@pytest.mark.parametrize("on", ["z_true", "z_pred"])
def test_windows_weights_and_unusable_rows_keep_copies_together(on):
    pred, z, _ = exposures(np.ones(300, int))
    pred[:5] = np.nan
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 300)
    window = metrics.Window(0.3, 1.5, on)
    wanted = metrics.summary(pred, z, weights=weights, window=window)
    copies = [np.repeat(column, 3) for column in (pred, z, weights, np.arange(300))]
    found = metrics.summary(
        *copies[:2], weights=copies[2], window=window, groups=copies[3]
    )
    for one, other in zip(found, wanted, strict=True):
        assert one.error == pytest.approx(other.error, rel=1e-9)
        assert one.n_effective == pytest.approx(other.n_effective)


def test_bins_and_strata_draw_objects_too():
    pred, z, _ = exposures(np.ones(400, int))
    copies = [np.repeat(column, 3) for column in (pred, z, np.arange(400))]
    edges = [0.1, 1.0, 2.0]
    wanted = metrics.binned("nmad", pred, z, edges, "z_true")
    found = metrics.binned("nmad", *copies[:2], edges, "z_true", groups=copies[2])
    assert [b.error for b in found] == pytest.approx([b.error for b in wanted])
    wanted = stratified(pred, z, strata={"low": z < 1})
    low = {"low": copies[1] < 1}
    found = stratified(*copies[:2], strata=low, groups=copies[2])
    assert [r["error"] for r in found] == pytest.approx([r["error"] for r in wanted])


def test_errors_of_groups_do_not_depend_on_threads(monkeypatch):
    pred, z, names = exposures(np.random.default_rng(4).integers(1, 4, 151))
    found = []
    for threads, chunk in ((1, 1_000_000), (3, 1_000_000), (5, 10_000)):
        monkeypatch.setattr("kphotoz.metrics.bootstrap._THREADS", threads)
        monkeypatch.setattr("kphotoz.metrics.bootstrap._CHUNK", chunk)
        found.append(metrics.summary(pred, z, groups=names, draws=101))
    assert found[0] == found[1] == found[2]


def test_groups_that_do_not_fit_are_refused():
    z = np.full(30, 0.5)
    with pytest.raises(ValueError, match=r"groups \(n,\) must agree.*\(29,\)"):
        metrics.summary(z, z, groups=np.arange(29))
    with pytest.raises(InputError, match="whole number a row for groups"):
        metrics.summary(z, z, groups=np.zeros(30, complex))

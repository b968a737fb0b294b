"""Every metric against its formula, written here a second time and in another way.

Formulas are those of the metric catalogue: means as fsum, medians by sorting, cuts one
object at a time.
"""

import math
import statistics

import numpy as np
import pytest
from astropy.stats import biweight_location, biweight_midvariance

from kphotoz import metrics


def _median(values):
    return statistics.median(values)


def _mean(values):
    return math.fsum(values) / len(values)


def _share(flags):
    return sum(flags) / len(flags)


def _quantile(values, level):
    # Linear between order statistics at (n - 1) q, as RAIL through numpy.
    ranked = sorted(values)
    place = (len(ranked) - 1) * level
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


def _deviation(values):
    centre = _median(values)
    return _median([abs(value - centre) for value in values])


def _hsc(error):
    return 1 - 1 / (1 + (error / 0.15) ** 2)


def _rail_cut(dz):
    width = (_quantile(dz, 0.75) - _quantile(dz, 0.25)) / 1.349
    return max(0.06, 3 * width)


def _r2(plain, z):
    centre = _mean(z)
    spread = math.fsum((value - centre) ** 2 for value in z)
    return 1 - math.fsum(e**2 for e in plain) / spread


def _biweight_share(dz):
    centre = biweight_location(np.array(dz), c=6)
    scale = math.sqrt(biweight_midvariance(np.array(dz), c=9))
    return _share([abs(e - centre) > 2 * scale for e in dz])


# name -> function of (dz, z_pred - z, z)
FORMULAS = {
    "bias_median": lambda dz, plain, z: _median(dz),
    "bias_mean": lambda dz, plain, z: _mean(dz),
    "bias_biweight": lambda dz, plain, z: biweight_location(np.array(dz), c=6),
    "nmad": lambda dz, plain, z: 1.4826 * _deviation(dz),
    "nmad_148": lambda dz, plain, z: 1.48 * _deviation(dz),
    "scatter_biweight": lambda dz, plain, z: math.sqrt(
        biweight_midvariance(np.array(dz), c=9)
    ),
    "sigma_iqr": lambda dz, plain, z: (
        (_quantile(dz, 0.75) - _quantile(dz, 0.25)) / 1.349
    ),
    "outlier_015": lambda dz, plain, z: _share([abs(e) > 0.15 for e in dz]),
    "outlier_005": lambda dz, plain, z: _share([abs(e) >= 0.05 for e in dz]),
    "outlier_biweight": lambda dz, plain, z: _biweight_share(dz),
    "outlier_rail": lambda dz, plain, z: _share([abs(e) > _rail_cut(dz) for e in dz]),
    "catastrophic": lambda dz, plain, z: _share([abs(e) > 1.0 for e in plain]),
    "rmse": lambda dz, plain, z: math.sqrt(_mean([e**2 for e in dz])),
    "mse": lambda dz, plain, z: _mean([e**2 for e in plain]),
    "mae": lambda dz, plain, z: _mean([abs(e) for e in plain]),
    "r2": lambda dz, plain, z: _r2(plain, z),
    "hsc_loss": lambda dz, plain, z: _mean([_hsc(e) for e in dz]),
    "sigma_tukey": lambda dz, plain, z: math.sqrt(
        biweight_midvariance(np.array(plain), c=9)
    ),
}


def _arrays(kind):
    generator = np.random.default_rng(31)
    z = generator.uniform(0.01, 3.5, 64 if kind == "even" else 63)
    pred = z + 0.08 * (1 + z) * generator.standard_t(2, z.size)
    if kind == "biased":
        pred = pred - 0.2 * (1 + z)
    return pred, z


def test_every_metric_has_a_formula_here():
    assert set(FORMULAS) == set(metrics.POINT)


@pytest.mark.parametrize("kind", ["even", "odd", "biased"])
@pytest.mark.parametrize("name", FORMULAS)
def test_metric_equals_its_formula_to_1e12(name, kind):
    pred, z = _arrays(kind)
    dz = [(p - t) / (1 + t) for p, t in zip(pred.tolist(), z.tolist(), strict=True)]
    wanted = FORMULAS[name](dz, (pred - z).tolist(), z.tolist())
    assert metrics.POINT[name](pred, z) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", ["even", "odd"])
def test_a_known_shift_moves_biases_and_no_scatter(kind):
    pred, z = _arrays(kind)
    moved = pred + 0.01 * (1 + z)
    for name in ("bias_median", "bias_mean", "bias_biweight"):
        before, after = metrics.POINT[name](pred, z), metrics.POINT[name](moved, z)
        assert after - before == pytest.approx(0.01, abs=1e-12), name
    for name in ("nmad", "nmad_148", "scatter_biweight", "sigma_iqr"):
        before, after = metrics.POINT[name](pred, z), metrics.POINT[name](moved, z)
        assert after == pytest.approx(before, abs=1e-12), name


@pytest.mark.parametrize("name", FORMULAS)
def test_summary_does_not_depend_on_the_order_of_rows(name):
    pred, z = _arrays("odd")
    order = np.random.default_rng(2).permutation(z.size)
    (first,) = metrics.summary(pred, z, names=[name], draws=50)
    (second,) = metrics.summary(pred[order], z[order], names=[name], draws=50)
    assert second.value == pytest.approx(first.value, abs=1e-12)
    assert second.error == pytest.approx(first.error, abs=1e-12)

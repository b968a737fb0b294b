"""Our point metrics beside those of RAIL (pip install kphotoz[rail])."""

import numpy as np
import pytest

from kphotoz import metrics

rail = pytest.importorskip("rail.evaluation.metrics.pointestimates")

PAIRS = {
    "bias_median": "PointBias",
    "sigma_iqr": "PointSigmaIQR",
    "outlier_rail": "PointOutlierRate",
    "nmad": "PointSigmaMAD",
}


@pytest.mark.parametrize("ours", PAIRS)
@pytest.mark.parametrize("scatter", [0.001, 0.05, 0.4])
def test_point_metric_equals_rails(ours, scatter):
    generator = np.random.default_rng(20)
    z = generator.uniform(0.0, 3.0, 5003)
    pred = z + scatter * (1 + z) * generator.standard_t(2, 5003) + 0.01
    wanted = getattr(rail, PAIRS[ours])(pred, z).evaluate()
    assert metrics.POINT[ours](pred, z) == pytest.approx(wanted, abs=1e-12)

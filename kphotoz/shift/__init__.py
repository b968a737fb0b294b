"""Is the target drawn from the source's distribution, and what follows from it?"""

from kphotoz.metrics import effective_size
from kphotoz.shift.drift import Drift, feature_drift, holm
from kphotoz.shift.matching import match_depth, match_rows
from kphotoz.shift.reweighting import (
    LabelShift,
    density_ratio,
    label_shift,
)
from kphotoz.shift.support import Support
from kphotoz.shift.two_sample import (
    TestResult,
    classifier_test,
    frechet_test,
    mmd,
    mmd_test,
)

__all__ = [
    "Drift",
    "LabelShift",
    "Support",
    "TestResult",
    "classifier_test",
    "density_ratio",
    "effective_size",
    "feature_drift",
    "frechet_test",
    "holm",
    "label_shift",
    "match_depth",
    "match_rows",
    "mmd",
    "mmd_test",
]

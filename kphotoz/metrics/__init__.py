"""Metrics of redshifts: arrays in, numbers with errors, samples and definitions out.

Uses numpy only, so that any table of predictions can be scored without a backend.
"""

from kphotoz.metrics._screen import label_reasons
from kphotoz.metrics.binned import binned
from kphotoz.metrics.bootstrap import (
    effective_size,
    over_seeds,
    paired_difference,
    paired_differences,
    summary,
)
from kphotoz.metrics.estimates import Difference, Estimate
from kphotoz.metrics.point import (
    DEFAULT,
    DEFINITIONS,
    POINT,
    bias_biweight,
    bias_mean,
    bias_median,
    catastrophic,
    hsc_loss,
    mae,
    mse,
    nmad,
    nmad_148,
    outlier_005,
    outlier_015,
    outlier_biweight,
    outlier_rail,
    r2,
    rmse,
    scatter_biweight,
    sigma_iqr,
    sigma_tukey,
)
from kphotoz.metrics.windows import Window

__all__ = [
    "DEFAULT",
    "DEFINITIONS",
    "POINT",
    "Difference",
    "Estimate",
    "Window",
    "bias_biweight",
    "bias_mean",
    "bias_median",
    "binned",
    "catastrophic",
    "effective_size",
    "hsc_loss",
    "label_reasons",
    "mae",
    "mse",
    "nmad",
    "nmad_148",
    "outlier_005",
    "outlier_015",
    "outlier_biweight",
    "outlier_rail",
    "over_seeds",
    "paired_difference",
    "paired_differences",
    "r2",
    "rmse",
    "scatter_biweight",
    "sigma_iqr",
    "sigma_tukey",
    "summary",
]

"""Point metrics of redshifts: one number from predictions and references.

Throughout ``dz = (z_pred - z_true) / (1 + z_true)``, where `z_true` stands for the
reference redshift, whatever its origin; redshifts have no unit. Every function takes

* z_pred: array (..., n), predicted redshifts;
* z_true: array (n,) or (..., n), reference redshifts, above -1;
* weights: array (n,) or (..., n), or None: frequencies up to a factor [default: None];

and returns a float, or an array of the leading shape. Empty or non-finite input raises
`InputError`: a NaN compares as "no outlier", so it must be excluded by name first, as
`summary` does.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kphotoz.errors import InputError, unknown
from kphotoz.metrics._weighted import mean, median, quartiles

__all__ = [
    "DEFAULT",
    "DEFINITIONS",
    "POINT",
    "RATES",
    "SIGNED",
    "badness",
    "improves",
    "kernel",
]

POINT: dict[str, Callable] = {}
DEFINITIONS: dict[str, str] = {}
_KERNELS: dict[str, Callable] = {}

DEFAULT = ("bias_median", "nmad", "outlier_015", "catastrophic")
# Fractions of objects, which have no bootstrap spread at exactly 0 or 1.
RATES = (
    "outlier_015",
    "outlier_005",
    "outlier_biweight",
    "outlier_rail",
    "catastrophic",
)
# Better means nearer to zero, not smaller.
SIGNED = ("bias_median", "bias_mean", "bias_biweight")


def badness(metric: str, value: float) -> float:
    """Returns a number that is the smaller, the better the value of a metric is.

    That is minus `r2`, the size of a bias, and any other metric itself.

    Args:
        metric: str. A key of `POINT`.
        value: float. What it was measured to be.
    """
    if metric == "r2":
        return -value
    return abs(value) if metric in SIGNED else value


def improves(metric: str, change: float) -> bool:
    """Returns whether a resolved change of a metric is one for the better.

    Args:
        metric: str. A key of `POINT`.
        change: float. Its difference; of a bias that of its sizes.
    """
    return (change < 0) is (metric != "r2")


def kernel(name: str) -> Callable:
    """Returns the unchecked `function(z_pred, z_true, weights)` behind a metric.

    Raises:
        InputError: no metric has that name.
    """
    if name not in _KERNELS:
        raise unknown("metric", name, _KERNELS)
    return _KERNELS[name]


def _metric(definition: str) -> Callable:
    def register(function: Callable) -> Callable:
        @functools.wraps(function)
        def checked(z_pred, z_true, weights=None):
            arrays = _checked(function.__name__, z_pred, z_true, weights)
            value = function(*arrays)
            return float(value) if np.ndim(value) == 0 else value

        POINT[function.__name__] = checked
        DEFINITIONS[function.__name__] = definition
        _KERNELS[function.__name__] = function
        return checked

    return register


def _checked(
    name: str, z_pred: Any, z_true: Any, weights: Any
) -> list[np.ndarray | None]:
    given = {"z_pred": z_pred, "z_true": z_true, "weights": weights}
    arrays = [None if v is None else np.asarray(v, np.float64) for v in given.values()]
    shape = np.asarray(z_pred).shape
    for key, array in zip(given, arrays, strict=True):
        if array is None:
            continue
        if array.ndim == 0 or not array.size:
            raise InputError(
                f"Wanted: at least one redshift for {name}. Received: {key} of shape "
                f"{array.shape}. Check the selection."
            )
        if array.shape[-1] != shape[-1]:
            raise ValueError(
                f"z_pred and {key} must agree in length. "
                f"Received: {shape} and {array.shape}."
            )
        if bad := int(np.count_nonzero(~np.isfinite(array))):
            raise InputError(
                f"Wanted: finite {key} for {name}. Received: {bad} of {array.size} NaN "
                "or infinite. Use metrics.summary, which counts and excludes them."
            )
    return arrays


def _dz(z_pred: np.ndarray, z_true: np.ndarray) -> np.ndarray:
    return (z_pred - z_true) / (1.0 + z_true)


def _deviation(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns the median absolute deviation from the median."""
    return median(np.abs(values - median(values, weights)[..., None]), weights)


@_metric("median(dz)")
def bias_median(z_pred, z_true, weights=None):
    """Returns the median of dz. Source: RAIL `PointBias`."""
    return median(_dz(z_pred, z_true), weights)


@_metric("mean(dz)")
def bias_mean(z_pred, z_true, weights=None):
    """Returns the mean of dz."""
    return mean(_dz(z_pred, z_true), weights)


@_metric("biweight location of dz, c = 6")
def bias_biweight(z_pred, z_true, weights=None):
    """Returns the biweight location of dz. Source: Tanaka+18 (HSC), astropy."""
    return _biweight_location(_dz(z_pred, z_true), weights)


@_metric("1.4826·median|dz − median(dz)|")
def nmad(z_pred, z_true, weights=None):
    """Returns the normalised median absolute deviation. Source: RAIL `PointSigmaMAD`.

    The constant is RAIL's 1.4826 exactly; scipy's differs by 1.5e-6 of it.
    """
    return 1.4826 * _deviation(_dz(z_pred, z_true), weights)


@_metric("1.48·median|dz − median(dz)|")
def nmad_148(z_pred, z_true, weights=None):
    """Returns `nmad` with the constant 1.48, for comparison with AstroMAE only."""
    return 1.48 * _deviation(_dz(z_pred, z_true), weights)


@_metric("√(biweight midvariance of dz), c = 9")
def scatter_biweight(z_pred, z_true, weights=None):
    """Returns the biweight scatter of dz. Source: Tanaka+18 (HSC), astropy."""
    return _biweight_scale(_dz(z_pred, z_true), weights)


@_metric("(q75 − q25)/1.349 of dz")
def sigma_iqr(z_pred, z_true, weights=None):
    """Returns the scaled interquartile range of dz. Source: RAIL `PointSigmaIQR`."""
    low, high = quartiles(_dz(z_pred, z_true), weights)
    return (high - low) / 1.349


@_metric("fraction with |dz| > 0.15")
def outlier_015(z_pred, z_true, weights=None):
    """Returns the fraction with |dz| > 0.15, the HSC convention."""
    return mean(np.abs(_dz(z_pred, z_true)) > 0.15, weights)


@_metric("fraction with |dz| ≥ 0.05")
def outlier_005(z_pred, z_true, weights=None):
    """Returns the fraction with |dz| >= 0.05. Source: Mantis Shrimp's eta."""
    return mean(np.abs(_dz(z_pred, z_true)) >= 0.05, weights)


@_metric("fraction with |dz − b| > 2s; b, s biweight location and scatter of dz")
def outlier_biweight(z_pred, z_true, weights=None):
    """Returns the fraction beyond two biweight scatters. Source: Tanaka+18 (HSC)."""
    error = _dz(z_pred, z_true)
    centre = _biweight_location(error, weights)[..., None]
    scale = _biweight_scale(error, weights)[..., None]
    return mean(np.abs(error - centre) > 2 * scale, weights)


@_metric("fraction with |dz| > max(0.06, 3·sigma_iqr), centred on 0")
def outlier_rail(z_pred, z_true, weights=None):
    """Returns the fraction beyond RAIL's cut. Source: RAIL `PointOutlierRate`."""
    error = _dz(z_pred, z_true)
    low, high = quartiles(error, weights)
    cut = np.maximum(0.06, 3.0 * (high - low) / 1.349)
    return mean(np.abs(error) > cut[..., None], weights)


@_metric("fraction with |z_pred − z_true| > 1, no (1 + z)")
def catastrophic(z_pred, z_true, weights=None):
    """Returns the fraction off by more than 1 in z. Source: Singal+20."""
    return mean(np.abs(z_pred - z_true) > 1.0, weights)


@_metric("√mean(dz²)")
def rmse(z_pred, z_true, weights=None):
    """Returns the root mean square of dz."""
    return np.sqrt(mean(_dz(z_pred, z_true) ** 2, weights))


@_metric("mean (z_pred − z_true)², no (1 + z)")
def mse(z_pred, z_true, weights=None):
    """Returns the plain mean squared error."""
    return mean((z_pred - z_true) ** 2, weights)


@_metric("mean |z_pred − z_true|, no (1 + z)")
def mae(z_pred, z_true, weights=None):
    """Returns the plain mean absolute error."""
    return mean(np.abs(z_pred - z_true), weights)


@_metric("1 − Σ(z_pred − z_true)²/Σ(z_true − mean z_true)²")
def r2(z_pred, z_true, weights=None):
    """Returns the coefficient of determination; NaN when all references are equal."""
    centre = np.asarray(mean(z_true, weights))[..., None]
    variance = np.asarray(mean((z_true - centre) ** 2, weights))
    error = mean((z_pred - z_true) ** 2, weights)
    return 1.0 - error / np.where(variance > 0, variance, np.nan)


@_metric("mean[1 − 1/(1 + (dz/0.15)²)]")
def hsc_loss(z_pred, z_true, weights=None):
    """Returns the mean of the HSC loss, gamma = 0.15. Source: Tanaka+18."""
    squared = (_dz(z_pred, z_true) / 0.15) ** 2
    return mean(1.0 - 1.0 / (1.0 + squared), weights)


@_metric("√(biweight midvariance of z_pred − z_true), c = 9, no (1 + z)")
def sigma_tukey(z_pred, z_true, weights=None):
    """Returns Tukey's biweight scale of the plain residual, as used for spectra."""
    return _biweight_scale(z_pred - z_true, weights)


def _biweight_location(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    centre = median(values, weights)
    scaled, kept = _biweight_distance(values, centre, weights, 6.0)
    power = np.where(kept, (1 - scaled**2) ** 2, 0.0)
    # A deviation of zero leaves only the objects at the median, so the sum is positive.
    shift = mean((values - centre[..., None]) * power, weights) / mean(power, weights)
    return centre + shift


def _biweight_scale(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    centre = median(values, weights)
    scaled, kept = _biweight_distance(values, centre, weights, 9.0)
    square = scaled**2
    distance = values - centre[..., None]
    above = mean(np.where(kept, distance**2 * (1 - square) ** 4, 0.0), weights)
    below = mean(np.where(kept, (1 - square) * (1 - 5 * square), 0.0), weights)
    return np.sqrt(above) / np.abs(below)


def _biweight_distance(values, centre, weights, constant):
    """Returns distances in units of `constant` deviations, and which are below 1."""
    distance = values - centre[..., None]
    scale = constant * median(np.abs(distance), weights)[..., None]
    scaled = distance / np.where(scale > 0, scale, 1.0)
    kept = np.where(scale > 0, np.abs(scaled) < 1, distance == 0)
    return np.where(kept, scaled, 0.0), kept

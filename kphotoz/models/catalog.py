"""Redshift networks for catalogues of fluxes."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kphotoz.errors import InputError
from kphotoz.features.catalog_photometry import catalog_photometry
from kphotoz.layers import AsinhMagnitudes, QuantileEncoding
from kphotoz.models.dense import STEM, dense_stack, redshift_head

__all__ = ["CATALOG_NETWORKS", "check_photometry"]

_WIDTH, _DEPTH = 200, 4


def check_photometry(photometry: np.ndarray, bands: Sequence[str]) -> None:
    """Refuses arrays that are not fluxes with errors.

    Args:
        photometry: array, wanted as `(n, band, 2)`.
        bands: sequence of str.

    Raises:
        InputError: naming both shapes.
    """
    if photometry.shape[1:] != (len(bands), 2):
        raise InputError(
            f"Wanted: photometry (n, {len(bands)}, 2) of the bands {list(bands)}. "
            f"Received: shape {photometry.shape}. For images set model.name=small_cnn."
        )


def _mlp(
    settings: dict[str, Any],
    inputs: Any,
    photometry: np.ndarray,
    labels: np.ndarray,
    bands: Sequence[str],
) -> Any:
    """Returns the redshift of quantile-encoded magnitudes, colours and errors."""
    layer = AsinhMagnitudes.from_photometry(photometry, bands, name="magnitudes")
    table = catalog_photometry(photometry, layer.softening, layer.fill)
    encoding = QuantileEncoding.from_table(
        table, settings["quantile_bins"], name="magnitudes_quantiles"
    )
    outputs = encoding(layer(inputs))
    if settings["quantile_dropout"]:
        outputs = keras.layers.Dropout(
            settings["quantile_dropout"], name="magnitudes_dropout"
        )(outputs)
    outputs = dense_stack(
        outputs,
        settings["photometry_units"],
        settings["photometry_dropout"],
        "photometry",
        initializer="he_normal",
        first=STEM,
    )
    return redshift_head(settings, outputs, labels)


def _dense_4x200(
    settings: dict[str, Any],
    inputs: Any,
    photometry: np.ndarray,
    labels: np.ndarray,
    bands: Sequence[str],
) -> Any:
    """Returns the redshift of the published network on scaled magnitudes.

    Magnitudes scaled to 0..1 by their training extremes, four layers of 200 (ReLU), and
    a last layer that sees the fourth layer and the magnitudes.

    Source: the GalaxiesML example network (`astrodatalab/galaxiesml_examples`).
    """
    layer = AsinhMagnitudes.from_photometry(
        photometry, bands, magnitudes_only=True, name="magnitudes"
    )
    table = catalog_photometry(photometry, layer.softening, layer.fill)[:, : len(bands)]
    low, high = table.min(axis=0), table.max(axis=0)
    width = np.maximum(high - low, 1e-3)  # mag; a constant band says nothing
    scaled = keras.layers.Normalization(
        mean=low.tolist(),
        variance=np.square(width).tolist(),
        dtype="float32",  # bfloat16 would round magnitudes to 1/8
        name="magnitudes_scaled",
    )(layer(inputs))
    hidden = dense_stack(
        scaled,
        [_WIDTH] * _DEPTH,
        0.0,
        "photometry",
        activation="relu",
        first=STEM,
        dtype="float32",  # as published
    )
    joined = keras.layers.Concatenate(dtype="float32", name="features")
    features = joined([scaled, hidden])
    return keras.layers.Dense(1, dtype="float32", name="head_redshift")(features)


# Architecture -> function of settings, inputs, photometry, labels and bands.
CATALOG_NETWORKS: dict[str, Callable[..., Any]] = {
    "catalog_mlp": _mlp,
    "catalog_4x200": _dense_4x200,
}

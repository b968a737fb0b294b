"""Dense layers that every redshift model shares: stacks and the redshift head."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

__all__ = ["STEM", "dense_stack", "redshift_head"]

STEM = "stem_dense"  # the name by which regimes find a first layer without pixels


def dense_stack(
    outputs: Any,
    units: Sequence[int],
    dropout: float,
    prefix: str,
    initializer: str = "glorot_uniform",
    activation: str = "silu",
    first: str | None = None,
    dtype: str | None = None,
) -> Any:
    """Returns the outputs of dense layers, each followed by dropout where there is any.

    Args:
        outputs: KerasTensor `(batch, feature)`.
        units: sequence of int. Sizes of the layers, which are named
            `{prefix}_dense_1` and so on.
        dropout: float. Rate, 0 for none.
        prefix: str. Start of the layers' names.
        initializer: str. Of the kernels.
        activation: str.
        first: str or None. Name of the first layer, where it has one of its own.
        dtype: str or None. Of the layers, where the policy in force will not do.
    """
    for number, size in enumerate(units, start=1):
        name = first if first and number == 1 else f"{prefix}_dense_{number}"
        outputs = keras.layers.Dense(
            size,
            activation=activation,
            kernel_initializer=initializer,
            dtype=dtype,
            name=name,
        )(outputs)
        if dropout:
            outputs = keras.layers.Dropout(dropout, name=f"{prefix}_dropout_{number}")(
                outputs
            )
    return outputs


def redshift_head(settings: dict[str, Any], features: Any, labels: np.ndarray) -> Any:
    """Returns the redshift: dense layers, then one that starts at the median label.

    Without `median_start` that one starts as any other layer does. With bins it joins
    the weights of `head_bins` (a softmax) with redshifts that start at the quantiles of
    the labels.

    Args:
        settings: dict with `head_units`, `head_dropout`, `redshift_bins` and, if it is
            not true, `median_start`.
        features: KerasTensor `(batch, feature)`.
        labels: float array `(n,)`. Finite training labels.
    """
    outputs = dense_stack(
        features, settings["head_units"], settings["head_dropout"], "head"
    )
    median, bins = float(np.median(labels)), settings["redshift_bins"]
    spread = 0.7413 * float(np.subtract(*np.percentile(labels, [75, 25])))
    if bins:
        outputs = keras.layers.Dense(
            bins, activation="softmax", dtype="float32", name="head_bins"
        )(outputs)
    if not settings.get("median_start", True):
        return keras.layers.Dense(1, dtype="float32", name="head_redshift")(outputs)
    last = keras.layers.Dense(
        1,
        kernel_initializer=keras.initializers.VarianceScaling(max(spread, 1e-3) ** 2),
        bias_initializer=keras.initializers.Constant(median),
        dtype="float32",
        name="head_redshift",
    )
    redshift = last(outputs)
    if bins:
        centres = np.quantile(labels, (np.arange(bins) + 0.5) / bins) - median
        last.kernel.assign(centres[:, None].astype("float32"))
    return redshift

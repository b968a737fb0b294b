"""Asinh magnitudes, colours, errors and masks from catalogue fluxes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz.features.catalog_photometry import fill_magnitudes, flux_softening
from kphotoz.layers._survey import SurveyInput

__all__ = ["AsinhMagnitudes"]

_POGSON = 2.5 / np.log(10.0)
_ZERO_POINT = 23.9  # AB magnitude of 1 uJy


@keras.saving.register_keras_serializable(package="kphotoz")
class AsinhMagnitudes(SurveyInput, keras.layers.Layer):
    """Turns fluxes and their errors into what a network can read.

    The outputs are those of `kphotoz.features.catalog_photometry`: asinh magnitudes,
    colours of adjacent bands, errors, and masks that are 0 where a band was not
    observed. Always computes in float32. Band order, softening and the magnitudes that
    stand for missing ones are part of the layer and thus of a saved model.

    Args:
        bands: sequence of str. Band names in the order of the catalogue.
        softening: sequence of float > 0, one per band. b [uJy].
        fill: sequence of float, one per band. Magnitude where there is none [mag].
        magnitudes_only: bool. Leave out colours, errors and masks. [default: False]

    Input shape: `(batch, band, 2)`, flux and error [uJy], NaN where none. Output shape:
    `(batch, 4 * band - 1)`, or `(batch, band)`.

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406, equations 3 and 9.
    """

    bands: list[str]

    def __init__(
        self,
        bands: Sequence[str],
        softening: Sequence[float],
        fill: Sequence[float],
        magnitudes_only: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.bands = [str(band) for band in bands]
        self.softening = [float(value) for value in softening]
        self.fill = [float(value) for value in fill]
        self.magnitudes_only = bool(magnitudes_only)
        lengths = {len(self.bands), len(self.softening), len(self.fill)}
        good = np.isfinite(self.softening + self.fill).all()
        if len(lengths) != 1 or not good or min(self.softening, default=0) <= 0:
            raise ValueError(
                "Wanted: one softening > 0 and one finite fill for each of the bands "
                f"{self.bands}. Received: {softening=}, {fill=}."
            )

    @classmethod
    def from_photometry(
        cls, photometry: np.ndarray, bands: Sequence[str], **kwargs: Any
    ) -> "AsinhMagnitudes":
        """Returns the layer whose numbers are fitted to training photometry.

        Args:
            photometry: float array `(n, band, 2)`, flux and error [uJy].
            bands: sequence of str.
            **kwargs: arguments of the layer, such as `name`.
        """
        softening = flux_softening(photometry).tolist()
        fill = fill_magnitudes(photometry, softening)
        return cls(bands, softening, fill.tolist(), **kwargs)

    def call(self, inputs: Any) -> Any:
        b = np.array(self.softening, "float32")
        flux, error = inputs[..., 0], inputs[..., 1]
        finite = ops.isfinite(flux)
        flux = ops.where(finite, flux, ops.zeros_like(flux))
        magnitude = _ZERO_POINT - _POGSON * (ops.arcsinh(flux / (2 * b)) + np.log(b))
        magnitude = ops.where(finite, magnitude, np.array(self.fill, "float32"))
        if self.magnitudes_only:
            return magnitude
        # Divided first: the square of a bright flux overflows float32.
        width = 2 * b * ops.sqrt(1 + ops.square(flux / (2 * b)))
        error = ops.where(ops.isfinite(error), error, b) * _POGSON / width
        mask = ops.cast(finite, "float32")
        colours = magnitude[:, :-1] - magnitude[:, 1:]
        return ops.concatenate([magnitude, colours, error * mask, mask], axis=-1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        bands = len(self.bands)
        return (input_shape[0], bands if self.magnitudes_only else 4 * bands - 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bands": self.bands,
            "softening": self.softening,
            "fill": self.fill,
            "magnitudes_only": self.magnitudes_only,
        }

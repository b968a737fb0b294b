"""Aperture photometry of the centred object, as a layer without weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz.layers._survey import SurveyInput

__all__ = ["AperturePhotometry"]


@keras.saving.register_keras_serializable(package="kphotoz")
class AperturePhotometry(SurveyInput, keras.layers.Layer):
    """Measures luptitudes, colours and concentrations in fixed circular apertures.

    The luptitude of flux f in an aperture of N pixels is
    ``-2.5 / ln 10 * (arcsinh(f / 2b) + ln b)`` with ``b = softening * sqrt(N)``. The
    columns are the luptitudes of the middle aperture, the colours of all pairs of
    bands in each aperture and the differences of adjacent apertures in each band, as
    in `kphotoz.features.aperture_photometry`. Always computes in float32.

    Args:
        softening: sequence of float > 0, one per band. Noise of a pixel
            [survey flux unit].
        radii: sequence of float, increasing [pixels]. [default: 2.5, 4.5, 8]
        bands: sequence of str or None. Band names in the order of the last axis, for
            `check`. [default: None, not checked]
        pixel_scale: float or None. Pixel size [arcsec]; None means unknown.
        zero_point: sequence of float or None, one per band [mag]. Magnitude of a pixel
            of 1; None means unknown.

    Input shape: `(batch, height, width, band)`. Output shape: `(batch, feature)` [mag].

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406.
    """

    def __init__(
        self,
        softening: Sequence[float],
        radii: Sequence[float] = (2.5, 4.5, 8.0),
        bands: Sequence[str] | None = None,
        pixel_scale: float | None = None,
        zero_point: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.softening = [float(value) for value in softening]
        self.radii = [float(radius) for radius in radii]
        if not self.radii or sorted(set(self.radii)) != self.radii:
            raise ValueError(f"`radii` must increase. Received: radii={radii!r}.")
        if not self.softening or min(self.softening) <= 0:
            raise ValueError(
                "`softening` must hold a positive number per band. Received: "
                f"softening={softening!r}."
            )
        self.bands = None if bands is None else [str(band) for band in bands]
        self.pixel_scale = None if pixel_scale is None else float(pixel_scale)
        self.zero_point = None if zero_point is None else list(map(float, zero_point))
        count, apertures = len(self.softening), len(self.radii)
        if self.bands is not None and len(self.bands) != count:
            raise ValueError(
                f"`bands` must name the {count} bands of `softening`. Received: "
                f"bands={bands!r}."
            )
        pairs = count * (count - 1) // 2
        self.columns = count + apertures * pairs + (apertures - 1) * count

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        height, width, bands = input_shape[1:]
        if bands != len(self.softening) or height is None or width is None:
            raise ValueError(
                f"Input must be (batch, height, width, {len(self.softening)}) with "
                f"known sides. Received: input_shape={tuple(input_shape)}."
            )
        rows = np.arange(height)[:, None] - (height - 1) / 2
        columns = np.arange(width)[None, :] - (width - 1) / 2
        inside = rows**2 + columns**2 <= np.square(self.radii)[:, None, None]
        self._masks = inside.reshape(len(self.radii), -1).astype("float32")
        if self._masks.sum(axis=1).min() == 0:
            raise ValueError(
                f"`radii` must each hold a pixel. Received: radii={self.radii}."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        bands, apertures = len(self.softening), len(self.radii)
        pixels = ops.reshape(inputs, (-1, self._masks.shape[1], bands))
        flux = ops.matmul(ops.convert_to_tensor(self._masks), pixels)
        noise = np.sqrt(self._masks.sum(axis=1))[:, None] * np.array(self.softening)
        noise = noise.astype("float32")
        pogson = np.float32(2.5 / np.log(10.0))
        luptitude = -pogson * (ops.arcsinh(flux / (2 * noise)) + np.log(noise))
        columns = [luptitude[:, apertures // 2]]
        for first in range(bands - 1):
            colours = luptitude[:, :, first : first + 1] - luptitude[:, :, first + 1 :]
            width = apertures * (bands - 1 - first)
            columns.append(ops.reshape(colours, (-1, width)))
        for inner in range(apertures - 1):
            columns.append(luptitude[:, inner] - luptitude[:, inner + 1])
        return ops.concatenate(columns, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.columns)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "softening": self.softening,
            "radii": self.radii,
            "bands": self.bands,
            "pixel_scale": self.pixel_scale,
            "zero_point": self.zero_point,
        }

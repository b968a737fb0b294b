"""Aperture photometry of the centred object, as a layer without weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["AperturePhotometry"]


@keras.saving.register_keras_serializable(package="kphotoz")
class AperturePhotometry(keras.layers.Layer):
    """Measures luptitudes, colours and concentrations in fixed circular apertures.

    The luptitude of flux f in an aperture of N pixels is
    ``-2.5 / ln 10 * (arcsinh(f / 2b) + ln b)`` with ``b = softening * sqrt(N)``. The
    columns are the luptitudes of the middle aperture, the colours of adjacent bands in
    each aperture and the differences of adjacent apertures in each band, as in
    `kphotoz.features.aperture_photometry`. Each column x becomes
    ``squash * tanh((x - center) / (scale * squash))``. Always computes in float32.

    Args:
        softening: sequence of float > 0, one per band. Noise of a pixel
            [survey flux unit].
        radii: sequence of float, increasing [pixels]. [default: 2.5, 4.5, 8]
        center: sequence of float, one per column [mag]. [default: 0]
        scale: sequence of float > 0, one per column [mag]. [default: 1]
        squash: float > 0 or None. Limit of the normalised columns, None for no
            limit. [default: None]

    Input shape: `(batch, height, width, band)`. Output shape: `(batch, feature)`.

    Source: Lupton, Gunn & Szalay 1999, AJ 118, 1406.
    """

    def __init__(
        self,
        softening: Sequence[float],
        radii: Sequence[float] = (2.5, 4.5, 8.0),
        center: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        squash: float | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.softening = [float(value) for value in softening]
        self.radii = [float(radius) for radius in radii]
        bands, apertures = len(self.softening), len(self.radii)
        self.columns = bands + apertures * (bands - 1) + (apertures - 1) * bands
        self.center = self._column("center", center, 0.0)
        self.scale = self._column("scale", scale, 1.0)
        self.squash = None if squash is None else float(squash)
        if not self.radii or sorted(set(self.radii)) != self.radii:
            raise ValueError(f"`radii` must increase. Received: radii={radii!r}.")
        if min(self.softening) <= 0 or min(self.scale) <= 0:
            raise ValueError(
                "`softening` and `scale` must be positive. Received: "
                f"softening={softening!r}, scale={scale!r}."
            )

    def _column(
        self, name: str, values: Sequence[float] | None, default: float
    ) -> list[float]:
        if values is None:
            return [default] * self.columns
        if len(values) != self.columns:
            raise ValueError(
                f"`{name}` must hold {self.columns} numbers, one per column. "
                f"Received: {len(values)}."
            )
        return [float(value) for value in values]

    @classmethod
    def from_images(
        cls,
        images: np.ndarray,
        radii: Sequence[float] = (2.5, 4.5, 8.0),
        squash: float | None = 4.0,
        **kwargs: Any,
    ) -> "AperturePhotometry":
        """Returns the layer whose numbers are fitted to training images.

        Center and scale of a column are its median and 0.7413 times its interquartile
        range (one standard deviation of a Gaussian): stars in the aperture or lost
        bands do not widen them.

        Args:
            images: float array `(n, height, width, band)`, survey flux units.
            radii: sequence of float, increasing [pixels].
            squash: float or None. Limit of the normalised columns. [default: 4]
            **kwargs: arguments of the layer, such as `name`.
        """
        from kphotoz.features import aperture_photometry, noise_sigma

        softening = noise_sigma(images).tolist()
        values = aperture_photometry(images, softening, radii)
        low, center, high = np.percentile(values, [25, 50, 75], axis=0)
        scale = np.maximum(0.7413 * (high - low), 1e-3)
        return cls(softening, radii, center.tolist(), scale.tolist(), squash, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        height, width, bands = input_shape[1:]
        if bands != len(self.softening) or height is None or width is None:
            raise ValueError(
                f"Input must be (batch, height, width, {len(self.softening)}) with "
                f"known sides. Received: input_shape={tuple(input_shape)}."
            )
        rows = np.arange(height)[:, None] - (height - 1) / 2
        columns = np.arange(width)[None, :] - (width - 1) / 2
        inside = (rows**2 + columns**2)[..., None] <= np.square(self.radii)
        self._masks = inside.reshape(-1, len(self.radii)).astype("float32")
        if self._masks.sum(axis=0).min() == 0:
            raise ValueError(
                f"`radii` must each hold a pixel. Received: radii={self.radii}."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        bands, apertures = len(self.softening), len(self.radii)
        pixels = ops.reshape(inputs, (-1, self._masks.shape[0], bands))
        pixels = ops.transpose(pixels, (0, 2, 1))
        flux = ops.matmul(pixels, ops.convert_to_tensor(self._masks))
        noise = np.sqrt(self._masks.sum(axis=0)) * np.array(self.softening)[:, None]
        noise = noise.astype("float32")
        pogson = np.float32(2.5 / np.log(10.0))
        luptitude = -pogson * (ops.arcsinh(flux / (2 * noise)) + np.log(noise))
        luptitude = ops.transpose(luptitude, (0, 2, 1))
        middle = luptitude[:, apertures // 2]
        colours = luptitude[:, :, :-1] - luptitude[:, :, 1:]
        steps = luptitude[:, :-1] - luptitude[:, 1:]
        colours = ops.reshape(colours, (-1, apertures * (bands - 1)))
        steps = ops.reshape(steps, (-1, (apertures - 1) * bands))
        return self._normalize(ops.concatenate([middle, colours, steps], axis=1))

    def _normalize(self, columns: Any) -> Any:
        center = np.array(self.center, "float32")
        scale = np.array(self.scale, "float32")
        columns = (columns - center) / scale
        if self.squash is None:
            return columns
        return self.squash * ops.tanh(columns / self.squash)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.columns)

    def get_config(self) -> dict[str, Any]:
        names = ("softening", "radii", "center", "scale", "squash")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

"""Band-wise asinh stretch of survey pixels."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz.errors import InputError
from kphotoz.layers._survey import SurveyInput

__all__ = ["STRETCHES", "BandStretch"]

STRETCHES = ("asinh", "none")


@keras.saving.register_keras_serializable(package="kphotoz")
class BandStretch(SurveyInput, keras.layers.Layer):
    """Compresses the range of survey pixels band by band.

    The output of band b is ``arcsinh(x_b / softening_b) / scales_b``: linear within
    the noise, logarithmic above it, so that no band drowns or saturates. It always
    computes in float32. Band order, pixel scale and zero points are part of the layer
    and thus of a saved model; with ``stretch="none"`` that is all there is, and pixels
    pass as they are.

    Args:
        bands: sequence of str. Band names in the order of the last axis.
        pixel_scale: float or None. Pixel size [arcsec]; None means unknown.
        scales: sequence of float > 0, one per band. Divisor after the stretch.
            [default: 1 for every band]
        softening: sequence of float > 0, one per band. Noise of a pixel
            [survey flux unit]. [default: 1 for every band]
        stretch: "asinh", or "none", which goes without scales and softening.
            [default: "asinh"]
        zero_point: sequence of float or None, one per band [mag]. Magnitude of a pixel
            of 1; None means unknown.

    Input and output shape: `(batch, height, width, band)`.

    Example:

    ```python
    stretch = kphotoz.layers.BandStretch("gri", 0.168, softening=[0.02, 0.02, 0.03])
    ```

    Source: the arcsinh scale of Lupton, Gunn & Szalay 1999, AJ 118, 1406.
    """

    bands: list[str]

    def __init__(
        self,
        bands: Sequence[str],
        pixel_scale: float | None,
        scales: Sequence[float] | None = None,
        softening: Sequence[float] | None = None,
        stretch: str = "asinh",
        zero_point: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.bands = [str(band) for band in bands]
        self.pixel_scale = None if pixel_scale is None else float(pixel_scale)
        self.scales = self._numbers("scales", scales)
        self.softening = self._numbers("softening", softening)
        self.zero_point = None if zero_point is None else list(map(float, zero_point))
        self.stretch = stretch
        if stretch not in STRETCHES:
            raise ValueError(
                f"`stretch` must be one of {STRETCHES}. Received: stretch={stretch!r}."
            )
        if stretch == "none" and {1.0} != {*self.scales, *self.softening}:
            raise ValueError(
                "`scales` and `softening` belong to an asinh stretch. Received: "
                f"{scales=}, {softening=} with stretch='none'."
            )

    def _numbers(self, name: str, values: Sequence[float] | None) -> list[float]:
        numbers = [1.0] * len(self.bands) if values is None else list(values)
        numbers = [float(number) for number in numbers]
        good = all(np.isfinite(number) and number > 0 for number in numbers)
        if len(numbers) != len(self.bands) or not good:
            raise ValueError(
                f"`{name}` must hold one positive number for each of the bands "
                f"{self.bands}. Received: {name}={values!r}."
            )
        return numbers

    @classmethod
    def from_images(
        cls,
        images: np.ndarray,
        bands: Sequence[str],
        pixel_scale: float | None,
        stretch: str = "asinh",
        softening: np.ndarray | None = None,
        **kwargs: Any,
    ) -> "BandStretch":
        """Returns the stretch whose numbers are fitted to training images.

        The softening is the pixel noise of the band; the scale is the root mean square
        of the stretched central quarter (half of each side), so outputs are of order 1.

        Args:
            images: float array `(n, height, width, band)`, survey flux units.
            bands: sequence of str. Band names in the order of the last axis.
            pixel_scale: float or None. Pixel size [arcsec].
            stretch: "asinh" or "none", to which nothing is fitted.
            softening: float array `(band,)`. [default: `features.noise_sigma(images)`]
            **kwargs: arguments of the layer, such as `name`.

        Raises:
            InputError: if the number of bands differs from the last axis.
        """
        from kphotoz.features import noise_sigma

        images = np.asarray(images, "float32")
        if images.ndim != 4 or images.shape[-1] != len(list(bands)):
            raise InputError(
                f"Wanted: images (n, height, width, {len(list(bands))}) for the bands "
                f"{list(bands)}. Received: shape {images.shape}. Put the band last."
            )
        if stretch == "none":
            return cls(bands, pixel_scale, stretch=stretch, **kwargs)
        softening = noise_sigma(images) if softening is None else softening
        height, width = images.shape[1:3]
        rows = slice(height // 4, height - height // 4)
        columns = slice(width // 4, width - width // 4)
        centre = np.arcsinh(images[:, rows, columns] / softening)
        scales = np.sqrt(np.mean(np.square(centre, dtype="float64"), axis=(0, 1, 2)))
        scales = np.where(scales > 0, scales, 1.0)
        return cls(bands, pixel_scale, scales.tolist(), softening.tolist(), **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if input_shape[-1] != len(self.bands):
            raise ValueError(
                f"The last axis must hold the {len(self.bands)} bands {self.bands}. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        if self.stretch == "none":
            return ops.cast(inputs, self.compute_dtype)
        softening = ops.convert_to_tensor(self.softening, self.compute_dtype)
        scales = ops.convert_to_tensor(self.scales, self.compute_dtype)
        return ops.arcsinh(inputs / softening) / scales

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bands": self.bands,
            "pixel_scale": self.pixel_scale,
            "scales": self.scales,
            "softening": self.softening,
            "stretch": self.stretch,
            "zero_point": self.zero_point,
        }

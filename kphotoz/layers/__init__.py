"""Keras layers of redshift models; importing this needs Keras and a backend only.

The LoRA layers have three formulations, equal up to rounding: "kernel" adds the update
to the kernel; "factored" does the same and takes the gradients of the factors from a
thin operation, so that the gradient of the kernel is never formed; "two_branches" runs
the frozen and the thin operation side by side, which dropout needs. By default the
cheaper of the first two is taken layer by layer, by counting multiplications.
"""

from kphotoz.layers.adapted_functional import AdaptedFunctional
from kphotoz.layers.aperture_photometry import AperturePhotometry
from kphotoz.layers.asinh_magnitudes import AsinhMagnitudes
from kphotoz.layers.band_stretch import BandStretch
from kphotoz.layers.batch_normalization import BatchNormalization
from kphotoz.layers.lora_conv1d import LoRAConv1D
from kphotoz.layers.lora_conv2d import LoRAConv2D
from kphotoz.layers.lora_dense import LoRADense
from kphotoz.layers.lora_einsum_dense import LoRAEinsumDense
from kphotoz.layers.quantile_encoding import QuantileEncoding
from kphotoz.layers.random_dihedral import RandomDihedral

__all__ = [
    "AdaptedFunctional",
    "AperturePhotometry",
    "AsinhMagnitudes",
    "BandStretch",
    "BatchNormalization",
    "LoRAConv1D",
    "LoRAConv2D",
    "LoRADense",
    "LoRAEinsumDense",
    "QuantileEncoding",
    "RandomDihedral",
]

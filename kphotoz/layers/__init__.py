"""Keras layers of redshift models; importing this needs Keras and a backend only."""

from kphotoz.layers.aperture_photometry import AperturePhotometry
from kphotoz.layers.asinh_magnitudes import AsinhMagnitudes
from kphotoz.layers.band_stretch import BandStretch
from kphotoz.layers.batch_normalization import BatchNormalization
from kphotoz.layers.lora_conv2d import LoRAConv2D
from kphotoz.layers.lora_dense import LoRADense
from kphotoz.layers.quantile_encoding import QuantileEncoding
from kphotoz.layers.random_dihedral import RandomDihedral

__all__ = [
    "AperturePhotometry",
    "AsinhMagnitudes",
    "BandStretch",
    "BatchNormalization",
    "LoRAConv2D",
    "LoRADense",
    "QuantileEncoding",
    "RandomDihedral",
]

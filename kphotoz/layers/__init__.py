"""Keras layers of redshift models; importing this needs Keras and a backend only."""

from kphotoz.layers.aperture_photometry import AperturePhotometry
from kphotoz.layers.band_stretch import BandStretch
from kphotoz.layers.random_dihedral import RandomDihedral

__all__ = [
    "AperturePhotometry",
    "BandStretch",
    "RandomDihedral",
]

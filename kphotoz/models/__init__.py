"""Redshift models: plain Keras models that take raw survey pixels."""

from kphotoz.models.architecture import ARCHITECTURES, resolve
from kphotoz.models.check import check_input
from kphotoz.models.files import load
from kphotoz.models.photoz import build_photoz
from kphotoz.models.random_twin import random_twin

__all__ = [
    "ARCHITECTURES",
    "build_photoz",
    "check_input",
    "load",
    "random_twin",
    "resolve",
]

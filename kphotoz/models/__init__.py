"""Redshift models: plain Keras models that take raw survey pixels."""

from kphotoz.models.architecture import ARCHITECTURES, resolve
from kphotoz.models.check import check_input
from kphotoz.models.files import load
from kphotoz.models.photoz import build_photoz

__all__ = ["ARCHITECTURES", "build_photoz", "check_input", "load", "resolve"]

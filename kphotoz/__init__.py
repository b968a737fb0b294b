"""Train on many imperfect labels, adapt to few exact ones, know how far to trust it."""

from kphotoz._version import __version__

__all__ = ["__version__"]

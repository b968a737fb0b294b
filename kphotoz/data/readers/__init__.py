"""Readers of users' files; each gives columns whole and images in chunks."""

from kphotoz.data.readers.image_file import ImageFile
from kphotoz.data.readers.source import Source

__all__ = ["ImageFile", "Source"]

"""A user's own files: what is said about them, and how they are read."""

from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.importing import import_file, open_file
from kphotoz.files_in.stream import open_stream

__all__ = ["CatalogSpec", "FileSpec", "import_file", "open_file", "open_stream"]

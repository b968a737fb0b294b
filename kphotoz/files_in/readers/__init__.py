"""Readers of users' files; each gives columns whole and inputs of models in chunks."""

from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.readers.catalog_file import CatalogFile
from kphotoz.files_in.readers.image_file import ImageFile
from kphotoz.files_in.readers.source import Source
from kphotoz.files_in.readers.survey_file import SurveyFile
from kphotoz.files_in.survey_spec import SurveySpec

__all__ = ["CatalogFile", "ImageFile", "Source", "SurveyFile", "open_survey_file"]


def open_survey_file(spec: SurveySpec) -> SurveyFile:
    """Returns the file that a spec describes, opened and checked.

    Args:
        spec: SurveySpec. A FileSpec of images or a CatalogSpec.

    Raises:
        InputError: the file cannot be what the spec says.
    """
    if isinstance(spec, CatalogSpec):
        return CatalogFile(spec)
    assert isinstance(spec, FileSpec)  # there is no third kind
    return ImageFile(spec)

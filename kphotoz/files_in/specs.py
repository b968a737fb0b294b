"""From a file and what is said about it to the right kind of description."""

import os
import pathlib
from typing import Any

from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.survey_spec import SurveySpec, overlaid, read_yaml

__all__ = ["make_spec"]

_PHOTOMETRY = ("magnitudes", "magnitude_errors", "fluxes", "flux_errors")


def make_spec(path: str | os.PathLike, **fields: Any) -> SurveySpec:
    """Returns the description of a file: a catalogue if columns of it are photometry.

    Args:
        path: path of the file, or of a YAML file that describes one.
        fields: fields of the description; they take precedence over the YAML file's,
            of `keys` role by role.

    Returns:
        CatalogSpec if magnitudes or fluxes are given, else FileSpec.

    Raises:
        InputError: a field is wrong.
    """
    path = pathlib.Path(path)
    known = {"file": path}
    if path.suffix.lower() in (".yaml", ".yml"):
        known = read_yaml(path)
    known = overlaid(known, fields)
    kind = CatalogSpec if any(name in known for name in _PHOTOMETRY) else FileSpec
    return kind.create(**known)

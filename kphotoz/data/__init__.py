"""Surveys by name, a user's own files, and the batches that models are fed with.

TensorFlow and TFDS are imported by the functions that need them, not by this module.
"""

import importlib
from typing import Any

# Public name -> the module that defines it; loaded when first asked for.
_HOMES = {
    "CatalogSpec": "catalog_spec",
    "FileSpec": "file_spec",
    "Sample": "sample",
    "SurveyInfo": "survey_info",
    "TrainingBatches": "batches",
    "allocate": "split_store",
    "build_survey": "survey",
    "check_disjoint": "leakage",
    "degrade": "dimming",
    "describe_survey": "survey",
    "dim": "dimming",
    "find_duplicates": "duplicates",
    "find_same_ids": "duplicates",
    "fold_splits": "folds",
    "import_file": "importing",
    "in_memory": "batches",
    "list_surveys": "survey",
    "object_names": "leakage",
    "open_file": "importing",
    "open_stream": "stream",
    "open_survey": "survey",
    "ordered_batches": "batches",
    "shared_batches": "batches",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

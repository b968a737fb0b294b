"""Surveys by name, samples of them, and the batches that models are fed with.

TensorFlow and TFDS are imported by the functions that need them, not by this module.
"""

from kphotoz.data.batches import (
    TrainingBatches,
    in_memory,
    ordered_batches,
    shared_batches,
)
from kphotoz.data.duplicates import find_duplicates, find_same_ids
from kphotoz.data.folds import fold_splits
from kphotoz.data.leakage import check_disjoint, object_names
from kphotoz.data.sample import Sample
from kphotoz.data.split_store import allocate
from kphotoz.data.store import Store
from kphotoz.data.stream import Stream
from kphotoz.data.survey import build_survey, describe_survey, list_surveys, open_survey
from kphotoz.data.survey_info import SurveyInfo

__all__ = [
    "Sample",
    "Store",
    "Stream",
    "SurveyInfo",
    "TrainingBatches",
    "allocate",
    "build_survey",
    "check_disjoint",
    "describe_survey",
    "find_duplicates",
    "find_same_ids",
    "fold_splits",
    "in_memory",
    "list_surveys",
    "object_names",
    "open_survey",
    "ordered_batches",
    "shared_batches",
]

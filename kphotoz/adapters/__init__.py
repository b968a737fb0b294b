"""Low-rank adapters on any Keras model: apply, train, save, load, merge.

Importing this registers `AdaptedModel`, so that `keras.models.load_model` finds it.
"""

from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.building import apply
from kphotoz.adapters.inventory import count, merge, report
from kphotoz.adapters.planning import Choice, plan
from kphotoz.adapters.storage import load, save
from kphotoz.adapters.verify import (
    check_moved,
    frozen_changed,
    snapshot,
    unmoved_factors,
)

__all__ = [
    "AdaptedModel",
    "Choice",
    "apply",
    "check_moved",
    "count",
    "frozen_changed",
    "load",
    "merge",
    "plan",
    "report",
    "save",
    "snapshot",
    "unmoved_factors",
]

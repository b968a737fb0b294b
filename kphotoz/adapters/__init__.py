"""Low-rank adapters on any Keras model: apply, train, save, load, merge.

Importing this registers `AdaptedModel`, so that `keras.models.load_model` finds it.
"""

from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.bank import AdapterBank
from kphotoz.adapters.building import apply
from kphotoz.adapters.convert import from_peft, to_peft
from kphotoz.adapters.folding import fold, fold_training
from kphotoz.adapters.fusing import fuse_training
from kphotoz.adapters.inventory import count, merge, report
from kphotoz.adapters.keras_lora import from_keras_lora
from kphotoz.adapters.lora_plus import lora_plus, lora_plus_class
from kphotoz.adapters.planning import Choice, plan
from kphotoz.adapters.spectrum import effective_rank
from kphotoz.adapters.state import merged, unmerge
from kphotoz.adapters.storage import load, save
from kphotoz.adapters.verify import (
    check_moved,
    frozen_changed,
    snapshot,
    unmoved_factors,
)

__all__ = [
    "AdaptedModel",
    "AdapterBank",
    "Choice",
    "apply",
    "check_moved",
    "count",
    "effective_rank",
    "fold",
    "fold_training",
    "from_keras_lora",
    "from_peft",
    "frozen_changed",
    "fuse_training",
    "load",
    "lora_plus",
    "lora_plus_class",
    "merge",
    "merged",
    "plan",
    "report",
    "save",
    "snapshot",
    "to_peft",
    "unmerge",
    "unmoved_factors",
]

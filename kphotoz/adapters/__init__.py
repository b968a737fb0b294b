"""Low-rank adapters on any Keras model: apply, train, save, load, merge.

Keras is imported when one of these names is first used.
"""

import importlib
from typing import Any

_HOME = {
    "AdaptedModel": "adapted_model",
    "Choice": "planning",
    "apply": "building",
    "check_moved": "verify",
    "count": "inventory",
    "frozen_changed": "verify",
    "load": "storage",
    "merge": "inventory",
    "plan": "planning",
    "report": "inventory",
    "save": "storage",
    "snapshot": "verify",
    "unmoved_factors": "verify",
}

__all__ = list(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)

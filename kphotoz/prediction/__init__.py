"""Predictions that stream: from files and surveys into parquet, FITS or CSV."""

import importlib
from typing import Any

_HOMES = {"Summary": "engine", "load_run": "run", "predict": "engine"}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)

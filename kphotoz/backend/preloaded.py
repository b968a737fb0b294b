"""Imports what processes that compute begin with; computes and opens nothing."""

import importlib

from kphotoz.backend import processes

processes.silence()
processes.import_quietly()
# By name: this room needs none of the others, the processes will.
for name in ("kphotoz.comparison.run", "kphotoz_datasets"):
    importlib.import_module(name)

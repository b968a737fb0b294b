"""Imports what processes that compute begin with; computes and opens nothing."""

from kphotoz.backend import processes

processes.silence()
processes.import_quietly()

import kphotoz_datasets  # noqa: E402, F401 - the backend comes first, and quietly
from kphotoz.comparison import run_jobs  # noqa: E402, F401

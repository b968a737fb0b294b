"""What depends on the backend or the device, so that no other room has to ask."""

from kphotoz.backend.devices import (
    PRECISIONS,
    clear_session,
    cores,
    gpus,
    has_accelerator,
    has_bfloat16,
    jit_compile,
    name,
    precision,
    tensorflow,
    threads,
    use_precision,
    use_threads,
)
from kphotoz.backend.processes import import_quietly, silence, start_worker

__all__ = [
    "PRECISIONS",
    "clear_session",
    "cores",
    "gpus",
    "has_accelerator",
    "has_bfloat16",
    "import_quietly",
    "jit_compile",
    "name",
    "precision",
    "silence",
    "start_worker",
    "tensorflow",
    "threads",
    "use_precision",
    "use_threads",
]

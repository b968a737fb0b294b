"""What depends on the backend or the device, so that no other room has to ask."""

from kphotoz.backend.adam import adam_step
from kphotoz.backend.cluster import Cluster, find_cluster
from kphotoz.backend.devices import (
    PRECISIONS,
    accelerators,
    clear_session,
    gpus,
    hardware,
    has_bfloat16,
    jit_compile,
    name,
    precision,
    steps_per_call,
    tensorflow,
    threads,
    use_precision,
    use_threads,
)
from kphotoz.backend.distribution import (
    check_batch,
    distribute,
    replicas,
    sum_over_replicas,
    synchronize,
)
from kphotoz.backend.jacobian import per_example_jacobian
from kphotoz.backend.machine import cores, free_memory
from kphotoz.backend.one_pass import in_one_pass, joins_passes
from kphotoz.backend.processes import (
    deal_gpus,
    import_quietly,
    prepare_workers,
    share_memory,
    silence,
    start_worker,
    worker_context,
)
from kphotoz.backend.together import (
    broadcast,
    first_alone,
    gather_predictions,
    process,
)

__all__ = [
    "PRECISIONS",
    "Cluster",
    "accelerators",
    "adam_step",
    "broadcast",
    "check_batch",
    "clear_session",
    "cores",
    "deal_gpus",
    "distribute",
    "find_cluster",
    "first_alone",
    "free_memory",
    "gather_predictions",
    "gpus",
    "hardware",
    "has_bfloat16",
    "import_quietly",
    "in_one_pass",
    "jit_compile",
    "joins_passes",
    "name",
    "per_example_jacobian",
    "precision",
    "prepare_workers",
    "process",
    "replicas",
    "share_memory",
    "silence",
    "start_worker",
    "steps_per_call",
    "sum_over_replicas",
    "synchronize",
    "tensorflow",
    "threads",
    "use_precision",
    "use_threads",
    "worker_context",
]

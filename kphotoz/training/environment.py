"""What a result was computed with: versions, backend, device, precision."""

import importlib.metadata
import os
import platform
import resource
import sys

import keras

from kphotoz import __version__, backend

__all__ = ["describe", "peak_memory_gib"]

_PACKAGES = (
    *("keras", "keras-hub", "tensorflow", "tensorflow-datasets"),
    *("jax", "jaxlib", "numpy"),
)
# Besides those that options set: they change kernels, and so the last bits.
_VARIABLES = ("XLA_FLAGS", "TF_DETERMINISTIC_OPS", "NVIDIA_TF32_OVERRIDE")


def describe(seed: int | None = None) -> dict:
    """Returns the facts that a reader needs to repeat a run."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "kphotoz": __version__,
        "python": platform.python_version(),
        "versions": versions,
        "backend": backend.name(),
        "precision": keras.config.dtype_policy().name,
        "jit": backend.jit_compile(),
        # Of TensorFlow: "1", "0", or None where it chooses by the CPU.
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "devices": sorted(keras.distribution.list_devices()),
        "training_devices": backend.replicas(),
        "processes": backend.process()[1],
        "machine": platform.machine(),
        "hardware": backend.hardware(),
        "variables": {name: os.environ.get(name) for name in _VARIABLES},
        "cores": backend.cores(),
        "threads": backend.threads(),
        "seed": seed,
    }


def peak_memory_gib() -> float:
    """Returns the highest resident memory of this process so far, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

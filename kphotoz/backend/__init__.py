"""What depends on the backend or the device, so that no other room has to ask."""

from kphotoz.backend.devices import gpus, has_gpu, jit_compile, name, tensorflow

__all__ = ["gpus", "has_gpu", "jit_compile", "name", "tensorflow"]

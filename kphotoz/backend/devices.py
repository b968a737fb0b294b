"""Which backend runs, which devices it sees, and whether to compile for them."""

import importlib
import types

__all__ = ["gpus", "has_gpu", "jit_compile", "name", "tensorflow"]


def name() -> str:
    """Returns the Keras backend in use: "tensorflow" or "jax"."""
    import keras

    return keras.backend.backend()


def tensorflow() -> types.ModuleType:
    """Returns TensorFlow, which sees GPUs only where it is the Keras backend.

    Under JAX, TensorFlow reads data only; left alone it would take the whole memory of
    the GPU that JAX computes on.
    """
    module = importlib.import_module("tensorflow")
    if name() != "tensorflow" and module.config.list_physical_devices("GPU"):
        module.config.set_visible_devices([], "GPU")
    return module


def gpus() -> list[str]:
    """Returns TensorFlow's names of the GPUs it may use, such as "GPU:0"."""
    devices = tensorflow().config.list_logical_devices("GPU")
    return [device.name.removeprefix("/device:") for device in devices]


def has_gpu() -> bool:
    """Returns whether Keras computes on something faster than the processor."""
    if name() == "tensorflow":
        return bool(gpus())
    return importlib.import_module("jax").default_backend() != "cpu"


def jit_compile() -> bool:
    """Returns whether XLA makes this backend faster on this device.

    On TensorFlow without a GPU it does not: float32 training of the small network is
    about twice as fast without (our measurement). JAX always compiles.
    """
    return name() != "tensorflow" or bool(gpus())

"""Which backend runs, which devices it sees, and how to use them best.

Every choice is made here and can be made by hand: by the commands' options, or by the
variables that these set, which reach the processes that a command starts:
KPHOTOZ_PRECISION, KPHOTOZ_JIT (1 or 0), and for threads TensorFlow's and XLA's own.
"""

import os
import types

from kphotoz.backend import machine
from kphotoz.errors import InputError, unknown

__all__ = [
    "PRECISIONS",
    "accelerators",
    "clear_session",
    "gpus",
    "hardware",
    "has_bfloat16",
    "jit_compile",
    "name",
    "precision",
    "steps_per_call",
    "tensorflow",
    "threads",
    "use_precision",
    "use_threads",
]

PRECISIONS = ("float32", "mixed_bfloat16")

# Processors that multiply bfloat16 numbers, by their flags in /proc/cpuinfo.
_BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
_STEPS_PER_CALL = 8  # our choice
# What TensorFlow and XLA read, once, when they first compute.
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")


def name() -> str:
    """Returns the Keras backend in use: "tensorflow" or "jax"."""
    import keras

    return keras.backend.backend()


def tensorflow() -> types.ModuleType:
    """Returns TensorFlow, which sees GPUs only where it is the Keras backend.

    Under JAX, TensorFlow reads data only; left alone it would take the whole memory of
    the GPU that JAX computes on.
    """
    import tensorflow as module

    if name() != "tensorflow" and module.config.list_physical_devices("GPU"):
        module.config.set_visible_devices([], "GPU")
    return module


def gpus() -> list[str]:
    """Returns TensorFlow's names of the GPUs it may use, such as "GPU:0"."""
    devices = tensorflow().config.list_logical_devices("GPU")
    return [device.name.removeprefix("/device:") for device in devices]


def accelerators() -> list[str]:
    """Returns Keras' names of the devices besides the processor, such as "gpu:0"."""
    import keras

    return [d for d in keras.distribution.list_devices() if not d.startswith("cpu")]


def hardware() -> list[str]:
    """Returns what computes: the processor with its instructions, and any GPUs."""
    if name() == "jax":
        import jax

        present = jax.local_devices()
        gpus = [one.device_kind for one in present if one.platform != "cpu"]
    else:
        config = tensorflow().config
        present = config.list_physical_devices("GPU")
        details = map(config.experimental.get_device_details, present)
        gpus = [str(each.get("device_name", "GPU")) for each in details]
    return [machine.processor(), *gpus]


def jit_compile() -> bool:
    """Returns whether to compile by XLA: KPHOTOZ_JIT, else whether it is faster here.

    On TensorFlow without a GPU it is not: float32 training of the small network is
    about twice as fast without (our measurement). JAX always compiles. TensorFlow
    cannot on several devices.

    Raises:
        InputError: it was asked to compile there, or KPHOTOZ_JIT is another value.
    """
    chosen = os.environ.get("KPHOTOZ_JIT")
    if name() == "tensorflow" and _mirrors() > 1:
        if chosen == "1":
            raise InputError(
                "Wanted: no --jit with several devices of TensorFlow, whose variables "
                "XLA cannot reach. Received: it. Leave it out, or add --backend jax."
            )
        return False
    if chosen not in (None, "", "0", "1"):
        raise unknown("value of KPHOTOZ_JIT", chosen, ("0", "1"))
    if chosen:
        return chosen == "1"
    return name() != "tensorflow" or bool(gpus())


def steps_per_call(steps: int) -> int:
    """Returns how many training steps to take in one call of the compiled function.

    On TensorFlow a call costs a small network a tenth of its step; signals wait for the
    end of a call, so there are few steps in one, of which an epoch has a whole number
    where it can: then one epoch follows another without a pause. JAX would unroll them.

    Args:
        steps: int > 0. Steps of an epoch.
    """
    if name() != "tensorflow" or _mirrors() > 1:
        return 1
    if steps <= 2 * _STEPS_PER_CALL:
        return steps
    numbers = range(2 * _STEPS_PER_CALL, _STEPS_PER_CALL // 2 - 1, -1)
    return next((k for k in numbers if steps % k == 0), _STEPS_PER_CALL)


def _mirrors() -> int:
    return tensorflow().distribute.get_strategy().num_replicas_in_sync


def precision() -> str:
    """Returns the policy that suits the device: "float32" or "mixed_bfloat16"."""
    return "mixed_bfloat16" if has_bfloat16() else "float32"


def has_bfloat16() -> bool:
    """Returns whether the device multiplies bfloat16 numbers faster than float32 ones.

    GPUs do from NVIDIA's Ampere on (compute capability 8), and processors with AMX or
    AVX512-BF16 under TensorFlow. JAX on a processor stays with float32: there it is
    several times slower than TensorFlow anyway.
    """
    capability = _jax_capability() if name() == "jax" else _tensorflow_capability()
    if capability is not None:
        return capability >= 8
    return name() == "tensorflow" and bool(_BFLOAT16_FLAGS & machine.flags())


def _tensorflow_capability() -> int | None:
    """Returns the lowest major compute capability of the GPUs, None without any."""
    module = tensorflow()
    known = [
        module.config.experimental.get_device_details(device)
        for device in module.config.list_physical_devices("GPU")
    ]
    return min((x.get("compute_capability", (0,))[0] for x in known), default=None)


def _jax_capability() -> int | None:
    import jax

    others = [device for device in jax.devices() if device.platform != "cpu"]
    versions = [str(getattr(device, "compute_capability", "0")) for device in others]
    numbers = [version.partition(".")[0] for version in versions]
    # AMD's are names, such as gfx950: nothing is known of them.
    return min((int(x) if x.isdecimal() else 0 for x in numbers), default=None)


def use_precision() -> str:
    """Sets the policy of layers made from now on, and returns it.

    It is that of KPHOTOZ_PRECISION, else what suits the device.

    Raises:
        InputError: it is none of `PRECISIONS`.
    """
    import keras

    chosen = os.environ.get("KPHOTOZ_PRECISION") or precision()
    if chosen not in PRECISIONS:
        raise unknown("precision", chosen, PRECISIONS)
    keras.config.set_dtype_policy(chosen)
    return chosen


def clear_session() -> None:
    """Frees what models left behind, but for the precision, which Keras forgets."""
    import keras

    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def threads() -> int:
    """Returns the number of threads to compute with: as set, else the cores."""
    chosen = os.environ.get(_THREADS[0], "")
    return int(chosen) if chosen.isdecimal() and int(chosen) else machine.cores()


def use_threads(count: int) -> None:
    """Has TensorFlow and XLA compute with so many threads, if they have not begun.

    Args:
        count: int > 0. Threads.
    """
    for variable in _THREADS:
        os.environ[variable] = str(count)

"""What is chosen on machines that this one is not; no GPU is needed to test it."""

import pathlib
import sys
import types

import keras
import pytest

from kphotoz.backend import devices
from kphotoz.errors import InputError


class FakeConfig:
    """TensorFlow's configuration on a machine with one GPU."""

    def __init__(self):
        self.visible, self.capability = ["GPU:0"], 8

    def list_physical_devices(self, kind):
        return ["GPU:0"]

    def set_visible_devices(self, chosen, kind):
        self.visible = chosen

    @property
    def experimental(self):
        details = {"compute_capability": (self.capability, 0)}
        return types.SimpleNamespace(get_device_details=lambda device: details)

    def list_logical_devices(self, kind):
        return [types.SimpleNamespace(name=f"/device:{x}") for x in self.visible]


def fake_machine(mirrors):
    strategy = types.SimpleNamespace(num_replicas_in_sync=mirrors)
    distribute = types.SimpleNamespace(get_strategy=lambda: strategy)
    return types.SimpleNamespace(config=FakeConfig(), distribute=distribute)


def test_tensorflow_compiles_on_no_more_than_one_gpu(monkeypatch):
    machine = fake_machine(2)
    for name in ("tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, name, machine)
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    monkeypatch.delenv("KPHOTOZ_JIT", raising=False)
    assert devices.jit_compile() is False
    monkeypatch.setenv("KPHOTOZ_JIT", "1")
    with pytest.raises(InputError, match="Wanted: no --jit"):
        devices.jit_compile()


def test_values_of_variables_that_mean_nothing_are_refused(monkeypatch):
    monkeypatch.setenv("KPHOTOZ_JIT", "true")
    with pytest.raises(InputError, match="KPHOTOZ_JIT"):
        devices.jit_compile()
    policy = keras.config.dtype_policy()
    for value in ("half", "bfloat16"):
        monkeypatch.setenv("KPHOTOZ_PRECISION", value)
        with pytest.raises(InputError, match="Wanted: one of .*Received: .*" + value):
            devices.use_precision()
    assert keras.config.dtype_policy() == policy


@pytest.mark.parametrize(
    ("backend", "seen", "compiled"),
    [("tensorflow", ["GPU:0"], True), ("jax", [], True)],
)
def test_tensorflow_leaves_the_gpu_to_jax(monkeypatch, backend, seen, compiled):
    machine = fake_machine(1)
    for name in ("tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, name, machine)
    monkeypatch.setattr(devices, "name", lambda: backend)
    assert devices.gpus() == seen
    assert devices.jit_compile() is compiled


def test_tensorflow_without_a_gpu_does_not_compile(monkeypatch):
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    monkeypatch.setattr(devices, "gpus", lambda: [])
    assert devices.jit_compile() is False


@pytest.mark.parametrize(
    ("steps", "in_a_call"), [(1, 1), (5, 5), (16, 16), (20, 10), (160, 16), (157, 8)]
)
def test_an_epoch_is_a_whole_number_of_calls_where_it_can_be(
    monkeypatch, steps, in_a_call
):
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    assert devices.steps_per_call(steps) == in_a_call
    monkeypatch.setattr(devices, "name", lambda: "jax")
    assert devices.steps_per_call(steps) == 1


def test_backend_is_the_one_keras_uses():
    import keras

    assert devices.name() == keras.backend.backend()
    assert devices.tensorflow().__name__ == "tensorflow"


@pytest.mark.parametrize(
    ("generation", "chosen"),
    [(7, "float32"), (8, "mixed_bfloat16"), (9, "mixed_bfloat16")],
)
def test_precision_of_a_gpu_follows_its_generation(monkeypatch, generation, chosen):
    machine = types.SimpleNamespace(config=FakeConfig())
    machine.config.capability = generation
    for name in ("tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, name, machine)
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    assert devices.precision() == chosen
    gpu = types.SimpleNamespace(platform="gpu", compute_capability=f"{generation}.6")
    machine.devices = lambda: [gpu]
    monkeypatch.setattr(devices, "name", lambda: "jax")
    assert devices.precision() == chosen


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ("fpu avx2 avx512f", "float32"),
        ("fpu avx512_bf16", "mixed_bfloat16"),
        ("fpu amx_tile amx_bf16", "mixed_bfloat16"),
    ],
)
def test_precision_of_a_processor_follows_its_flags(monkeypatch, flags, chosen):
    text = f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: text)
    monkeypatch.setattr(devices, "_tensorflow_capability", lambda: None)
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    assert devices.precision() == chosen


def test_what_is_set_by_hand_counts(monkeypatch):
    import keras

    before = keras.config.dtype_policy()
    monkeypatch.setenv("KPHOTOZ_PRECISION", "mixed_bfloat16")
    monkeypatch.setenv("KPHOTOZ_JIT", "0")
    try:
        assert devices.use_precision() == "mixed_bfloat16"
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
        devices.clear_session()
        again = keras.layers.Dense(1)
        assert again.name == "dense" and again.compute_dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy(before)
    assert devices.jit_compile() is False

"""TensorFlow sees GPUs only where it computes; no GPU is needed to test it."""

import types

import pytest

from kphotoz.backend import devices


class FakeConfig:
    """TensorFlow's configuration on a machine with one GPU."""

    def __init__(self):
        self.visible = ["GPU:0"]

    def list_physical_devices(self, kind):
        return ["GPU:0"]

    def set_visible_devices(self, chosen, kind):
        self.visible = chosen

    def list_logical_devices(self, kind):
        return [types.SimpleNamespace(name=f"/device:{x}") for x in self.visible]


@pytest.mark.parametrize(
    ("backend", "seen", "compiled"),
    [("tensorflow", ["GPU:0"], True), ("jax", [], True)],
)
def test_tensorflow_leaves_the_gpu_to_jax(monkeypatch, backend, seen, compiled):
    machine = types.SimpleNamespace(config=FakeConfig())
    monkeypatch.setattr(devices.importlib, "import_module", lambda name: machine)
    monkeypatch.setattr(devices, "name", lambda: backend)
    assert devices.gpus() == seen
    assert devices.jit_compile() is compiled


def test_tensorflow_without_a_gpu_does_not_compile(monkeypatch):
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    monkeypatch.setattr(devices, "gpus", lambda: [])
    assert devices.jit_compile() is False


def test_backend_is_the_one_keras_uses():
    import keras

    assert devices.name() == keras.backend.backend()
    assert devices.tensorflow().__name__ == "tensorflow"

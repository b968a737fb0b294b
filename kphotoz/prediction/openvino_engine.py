"""Predictions by OpenVINO on the processor. Needs neither Keras nor TensorFlow.

The network comes from a TensorFlow SavedModel, which OpenVINO reads itself; only
writing that takes TensorFlow, in a process of its own (`openvino_export`).
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from kphotoz.backend import threads

__all__ = [
    *("Unusable", "compiled", "export", "has_bfloat16", "identity"),
    *("installed", "openvino_call"),
]

# Rows that one stream of threads takes at a time. Images: 32 gave the highest rate of
# 4 to 128 (ResNet-18, 64x64x5, 2 cores, our measurement); tables are too quick to cut.
_ROWS_OF_IMAGES = 32
_EXPORT_SECONDS = 900  # our choice; a ResNet-18 takes 15


class Unusable(Exception):
    """OpenVINO cannot predict with this model; the message says why."""


def installed() -> bool:
    """Returns whether the package `openvino` is there."""
    return importlib.util.find_spec("openvino") is not None


def _openvino() -> types.ModuleType:
    """Imports OpenVINO without the message that its import sends to its makers.

    Sending also forks, which hangs where a backend has threads. OpenVINO has a stub for
    installations without its telemetry, so that is hidden while it is imported.
    """
    telemetry = "openvino_telemetry"
    hidden = not sys.modules.keys() & {"openvino", telemetry}
    if hidden:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # hides a module
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[telemetry]
    return openvino


def has_bfloat16() -> bool:
    """Returns whether the processor computes in bfloat16, whatever the backend does."""
    info = pathlib.Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    return bool(flags & {"amx_bf16", "avx512_bf16"})


def identity(precision: str) -> dict[str, str]:
    """Returns what decides the bits of a prediction: name, version, precision."""
    version = _openvino().__version__.partition("-")[0]
    return {"name": "openvino", "version": version, "precision": precision}


def openvino_call(
    model: Any, shape: tuple[int, ...], batch_size: int, precision: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch of inputs to predictions.

    Args:
        model: keras.Model, or what else has `save`.
        shape: tuple of int. One input: (height, width, band) or (band, 2).
        batch_size: int. Rows in every batch.
        precision: "float32" or "bfloat16".

    Raises:
        Unusable: the model cannot be exported, or OpenVINO not read it.
    """
    slices = -(-batch_size // _ROWS_OF_IMAGES) if len(shape) == 3 else 1
    rows = -(-batch_size // slices)
    with tempfile.TemporaryDirectory(prefix="kphotoz-openvino-") as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        exported = export(path, (rows, *shape))
        return compiled(exported, rows, precision)


def export(path: pathlib.Path, shape: tuple[int, ...]) -> pathlib.Path:
    """Returns a folder beside a `.keras` file with its SavedModel.

    Args:
        path: path of the file.
        shape: tuple of int. The input with its number of rows.

    Raises:
        Unusable: the export fails.
    """
    folder = path.with_suffix("")
    module = "kphotoz.prediction.openvino_export"
    paths = (str(path), str(folder))
    # -P: what lies in the current folder is no module of ours.
    command = [sys.executable, "-P", "-m", module, *paths, *map(str, shape)]
    environment = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_EXPORT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(f"the export failed: {error}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise Unusable(f"the export failed: {said[:200]}")
    return folder


def compiled(
    folder: pathlib.Path, rows: int, precision: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from any number of inputs to predictions.

    Args:
        folder: path that `export` returned; not read again afterwards.
        rows: int. Inputs that the exported network takes at once.
        precision: "float32" or "bfloat16".

    Raises:
        Unusable: OpenVINO does not know an operation of the network.
    """
    openvino = _openvino()
    hints = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": threads(),
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    try:
        core = openvino.Core()
        network = core.compile_model(core.read_model(folder), "CPU", hints)
    except Exception as error:  # OpenVINO's exceptions share no other class
        reason = " ".join(str(error).split())[-200:]
        raise Unusable(f"OpenVINO cannot read the model: {reason}") from error
    shape = tuple(network.input().shape)
    requests: list = []  # as many as a batch has parts; streams take them in turn

    def call(batch: np.ndarray) -> np.ndarray:
        starts = range(0, len(batch), rows)
        while len(requests) < len(starts):
            requests.append(network.create_infer_request())
        used = requests[: len(starts)]
        for request, start in zip(used, starts, strict=True):
            part = np.ascontiguousarray(batch[start : start + rows], np.float32)
            if len(part) < rows:
                part = np.concatenate([part, np.zeros(shape, np.float32)])[:rows]
            request.start_async(part, share_inputs=True)
        outputs = []
        for request in used:
            request.wait()
            outputs.append(np.array(request.get_output_tensor(0).data, np.float32))
        return np.concatenate(outputs)[: len(batch)]

    return call

"""Checkpoints that hold every variable, so that a resumed run ends in the same bits.

Keras drops the state of seed generators and of averaged weights when it saves a model;
here every variable of the model and of its optimiser is stored, in order, with its path
and shape, in one safetensors file.
"""

import json
import pathlib
import struct
from typing import Any

import keras
import numpy as np
import safetensors

from kphotoz.errors import InputError
from kphotoz.files import write_tensors
from kphotoz.untrusted import parse_json

__all__ = ["damaged_checkpoint", "load", "save", "state", "restore"]


def state(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns every variable of a compiled model and its optimiser as arrays."""
    named = [(f"model/{i:05d}/{v.path}", v) for i, v in enumerate(model.variables)]
    if model.optimizer is not None:
        variables = model.optimizer.variables
        named += [(f"optimizer/{i:05d}/{v.path}", v) for i, v in enumerate(variables)]
    # `ops.convert_to_numpy` fails for a number that TensorFlow keeps on two devices.
    return {name: np.array(variable.numpy()) for name, variable in named}


def restore(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays made by `state` back; order decides, shapes are checked."""
    for part, variables in (
        ("model/", model.variables),
        ("optimizer/", model.optimizer.variables if model.optimizer else []),
    ):
        names = sorted(name for name in arrays if name.startswith(part))
        if [arrays[name].shape for name in names] != [
            tuple(v.shape) for v in variables
        ]:
            raise InputError(
                f"Wanted: a checkpoint of this very model. Received: other {part[:-1]} "
                "variables. Delete the folder's checkpoints or use its own recipe."
            )
        for name, variable in zip(names, variables, strict=True):
            variable.assign(arrays[name])


def save(path: pathlib.Path, arrays: dict[str, np.ndarray], facts: Any) -> None:
    """Writes arrays and JSON-able facts to one file, atomically."""
    # safetensors lifts some zero-dimensional arrays to one: keep the shapes aside.
    flat = {name: np.atleast_1d(array) for name, array in arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    header = {"facts": json.dumps(facts), "shapes": json.dumps(shapes)}
    write_tensors(path, flat, header)


def load(path: pathlib.Path) -> tuple[dict[str, np.ndarray], Any]:
    """Returns the arrays and facts of a checkpoint.

    Raises:
        InputError: the file is not a checkpoint of ours.
    """
    errors = (OSError, KeyError, ValueError, TypeError, AttributeError, struct.error)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            shapes = parse_json(header["shapes"])
            facts = parse_json(header["facts"])
            arrays = {n: file.get_tensor(n).reshape(shapes[n]) for n in shapes}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{name} holds no numbers")
    except (*errors, safetensors.SafetensorError) as error:
        raise damaged_checkpoint(path, str(error)) from error
    return arrays, facts


def damaged_checkpoint(path: pathlib.Path, reason: str) -> InputError:
    """Returns the error for a checkpoint that cannot be used.

    Args:
        path: path of the file.
        reason: str. What is wrong.
    """
    return InputError(
        f"Wanted: a checkpoint. Received: {path}: {reason[:300]}. Delete it to start "
        "anew."
    )

"""Models from files."""

import contextlib
import math
import os
import pathlib
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import keras

import kphotoz.layers
import kphotoz.losses  # noqa: F401  (registers what a saved model may name)
from kphotoz.errors import InputError
from kphotoz.untrusted.hdf5_files import check_hdf5

__all__ = ["load"]

_WEIGHTS = "model.weights.h5"
_CONFIG = 1 << 24  # bytes of config.json; our choice
_FLOOR = 1 << 20  # bytes that a member may unpack to, and weights take; our choice
_LOCK = threading.RLock()


def load(path: str | os.PathLike) -> keras.Model:
    """Returns the model of a `.keras` file, uncompiled.

    Code hidden in the file (Lambda layers) is refused, and so are members outside of
    the format, sizes that the file does not hold, and assets.

    Args:
        path: path of a file written by `model.save`.

    Raises:
        InputError: if there is no such file, or it is not a whole model file.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras" or not path.is_file():
        state = "a folder" if path.is_dir() else "no such file"
        received = f"{path} ({state})" if not path.is_file() else str(path)
        raise InputError(
            f"Wanted: a model file that ends in .keras. Received: {received}. "
            "Name the model.keras inside a run folder."
        )
    try:
        size = _check_members(path)
        check_hdf5(path, _WEIGHTS)
        with _weights_within(2 * size + _FLOOR):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise ValueError(f"it holds no model but {type(model).__name__}")
        return model
    except Exception as error:  # what layers raise on odd configurations has no end
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"Wanted: a whole Keras model without code. Received: {path}, which cannot "
            f"be read ({type(error).__name__}: {reason}). Save or copy it again."
        ) from error


def _check_members(path: pathlib.Path) -> int:
    """Returns the size of the weights [byte], after a look at the zip file."""
    with zipfile.ZipFile(path) as file:
        members = {member.filename: member for member in file.infolist()}
        if len(members) < len(file.infolist()):
            raise ValueError("two members have the same name")
    odd = sorted(members.keys() - {"config.json", "metadata.json", _WEIGHTS})
    if odd or _WEIGHTS not in members:
        raise ValueError(f"members {', '.join(odd) or 'missing'} in its zip file")
    for name, member in members.items():
        # Keras packs nothing; weights hardly shrink.
        if member.file_size > _FLOOR + 10 * member.compress_size:
            raise ValueError(f"{name} unpacks to {member.file_size} bytes")
    if members["config.json"].file_size > _CONFIG:
        raise ValueError(f"config.json is larger than {_CONFIG} bytes")
    return members[_WEIGHTS].file_size


@contextlib.contextmanager
def _weights_within(limit: int) -> Iterator[None]:
    """Lets layers make weights of `limit` bytes in all: the file holds no more.

    Keras makes the layers, as large as the configuration says, before it looks at the
    weights in the file.
    """
    plain, sizes = keras.layers.Layer.add_weight, []

    def add_weight(self: Any, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        axes = (shape,) if isinstance(shape, int) else tuple(shape or ())
        sizes.append(4 * math.prod(int(size) for size in axes))
        if sum(sizes) > limit:
            raise ValueError(f"weights of shape {axes}, more than the file holds")
        return plain(self, shape, *args, **kwargs)

    with _LOCK:
        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        finally:
            keras.layers.Layer.add_weight = plain

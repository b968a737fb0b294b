"""Models from files."""

import json
import os
import pathlib
import zipfile

import keras

import kphotoz.layers
import kphotoz.losses  # noqa: F401  (registers what a saved model may name)
from kphotoz.errors import InputError

__all__ = ["load"]


def load(path: str | os.PathLike) -> keras.Model:
    """Returns the model of a `.keras` file, uncompiled.

    Code hidden in the file (Lambda layers) is refused.

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
    errors = (ValueError, OSError, KeyError, TypeError, AttributeError)
    errors += (EOFError, zipfile.BadZipFile, json.JSONDecodeError)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except errors as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"Wanted: a whole Keras model without code. Received: {path}, which cannot "
            f"be read ({type(error).__name__}: {reason}). Save or copy it again."
        ) from error

"""The model of a run folder, whether it holds a whole model or only an adapter."""

import os
import pathlib
from typing import TYPE_CHECKING

from kphotoz.errors import InputError
from kphotoz.files import hash_file
from kphotoz.untrusted import parse_json

if TYPE_CHECKING:
    import keras

__all__ = ["load_run"]


def load_run(path: str | os.PathLike) -> tuple["keras.Model", str]:
    """Returns the model of a run and the hash of the files it was made from.

    Args:
        path: a `.keras` file, a run folder with `model.keras`, or one with
            `adapter.safetensors` and a `run.json` whose `base` names the base's run,
            relative to the folder, and whose `sha256`, if there, is its hash.

    Raises:
        InputError: no model there, or a base that is missing or rests on the run.
    """
    return _load(pathlib.Path(path), ())


def _load(
    path: pathlib.Path, above: tuple[pathlib.Path, ...]
) -> tuple["keras.Model", str]:
    """Returns what `load_run` does, for the base of the adapters `above`."""
    from kphotoz import models

    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise InputError(
            f"Wanted: a run folder or a .keras file. Received: {path} "
            f"({getattr(error, 'strerror', None) or error}). Check the path."
        ) from error
    model = path / "model.keras" if path.is_dir() else path
    if model.is_file() and model.suffix != ".safetensors":
        return models.load(model), hash_file(model)
    folder = path if path.is_dir() else path.parent
    adapter = path / "adapter.safetensors" if path.is_dir() else path
    if not adapter.is_file():
        raise InputError(
            "Wanted: a .keras file, or a run folder with model.keras or "
            f"adapter.safetensors. Received: {path}. Check the path."
        )
    if adapter.resolve() in above:
        raise InputError(
            f"Wanted: another run as the base in {folder / 'run.json'}. Received: one "
            "that leads back to the run itself. Correct `base` there."
        )
    from kphotoz import adapters

    link, recorded = _base_of(folder)
    base, base_hash = _load(folder / link, (*above, adapter.resolve()))
    if recorded not in (None, base_hash):
        raise InputError(
            f"Wanted: the base that {adapter} was trained on. Received: another model "
            f"in {folder / link}. Put the right one there, or correct run.json."
        )
    return adapters.load(base, adapter), f"{base_hash}-{hash_file(adapter)}"


def _base_of(folder: pathlib.Path) -> tuple[str, str | None]:
    path = folder / "run.json"
    try:
        noted = parse_json(path.read_bytes())
        base, recorded = noted["base"], noted.get("sha256")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"Wanted: the base of an adapter, as `base` in {path}. Received: "
            f"{type(error).__name__}. Write {{'base': RUN}} there."
        ) from error
    if not isinstance(base, str) or not _exists(folder / base):
        raise InputError(
            f"Wanted: the base model that {path} names. Received: {base!r}, which does "
            "not exist. Correct the path."
        )
    return base, recorded


def _exists(path: pathlib.Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False

"""Adapter files: safetensors with a JSON header, checked on reading, no code inside.

Tensors are ``lora/<path>/a`` and ``/b`` (of PiSSA ``/a_start`` and ``/b_start`` too, of
DoRA ``/magnitude``), ``norm/<path>/<name>`` and ``head/<path>/<name>``. Nothing here
needs Keras.
"""

import math
import os
import pathlib
import struct
from typing import Literal

import numpy as np
import pydantic
import safetensors

from kphotoz.errors import InputError
from kphotoz.files import write_tensors
from kphotoz.untrusted import parse_json

__all__ = ["Entry", "Header", "Part", "read", "write"]

_KEY = "kphotoz_adapter"


class Entry(pydantic.BaseModel):
    """One adapted layer: where it was, and the hash of the kernel it belongs to."""

    path: str
    kind: str
    index: int
    shape: list[int]
    rank: int = pydantic.Field(ge=1)
    alpha: float = pydantic.Field(gt=0, allow_inf_nan=False)
    start: Literal["zero", "pissa"] = "zero"
    dora: bool = False
    kernel_hash: str

    def names(self) -> list[str]:
        """Returns the names of its tensors, in the order lora_a, lora_b, and so on."""
        more = ["a_start", "b_start"] if self.start == "pissa" else []
        return ["a", "b", *more, *(["magnitude"] if self.dora else [])]


class Part(pydantic.BaseModel):
    """A layer stored in full: a trained head, or what batch normalisation adapted."""

    path: str
    index: int = pydantic.Field(ge=0)
    shapes: dict[str, list[int]]


class Header(pydantic.BaseModel):
    """What an adapter file says of itself, apart from its numbers."""

    version: int = pydantic.Field(ge=1, le=1)
    kphotoz: str
    keras: str
    base_hash: str
    targets: str | None
    dropout: float = pydantic.Field(ge=0, lt=1)
    batch_norm: Literal["freeze", "adapt_statistics", "train"]
    entries: list[Entry] = pydantic.Field(min_length=1)
    normalisations: list[Part]
    head: list[Part]

    def expected(self) -> set[str]:
        """Returns the names of the tensors this header announces."""
        names = {f"lora/{e.path}/{x}" for e in self.entries for x in e.names()}
        return names | self.stored_whole().keys()

    def stored_whole(self) -> dict[str, list[int]]:
        """Returns the shapes of the tensors of layers that are stored in full."""
        return {
            f"{kind}/{part.path}/{name}": shape
            for kind, parts in (("norm", self.normalisations), ("head", self.head))
            for part in parts
            for name, shape in part.shapes.items()
        }


def write(
    path: str | os.PathLike, header: Header, tensors: dict[str, np.ndarray]
) -> None:
    """Writes an adapter file, whole or not at all.

    Raises:
        InputError: the place cannot be written to.
    """
    write_tensors(path, tensors, {_KEY: header.model_dump_json()})


def read(path: str | os.PathLike) -> tuple[Header, dict[str, np.ndarray]]:
    """Returns the header and the tensors of an adapter file.

    Raises:
        InputError: there is no such file, it is truncated, or it is no adapter.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        state = "a folder" if path.is_dir() else "no such file"
        raise InputError(
            f"Wanted: an adapter file. Received: {path}: {state}. That of a run folder "
            "is adapter.safetensors in it."
        )
    try:
        with safetensors.safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, OSError, struct.error, TypeError) as error:
        raise _unreadable(path, f"no whole safetensors file ({error})") from error
    if text is None:
        raise _unreadable(path, "a safetensors file that kphotoz did not write")
    try:
        header = Header.model_validate(parse_json(text))
    except ValueError as error:
        raise _unreadable(path, f"a header that is not ours ({error})") from error
    _check_tensors(path, header, tensors)
    return header, tensors


def _check_tensors(path: pathlib.Path, header: Header, tensors: dict) -> None:
    odd = sorted(header.expected() ^ tensors.keys())
    if odd:
        raise _unreadable(path, f"other tensors than its header says ({odd[0]})")
    for entry in header.entries:
        a, b = (tensors[f"lora/{entry.path}/{x}"] for x in "ab")
        good = a.size * b.size == entry.rank**2 * math.prod(entry.shape)
        start = [
            tensors.get(f"lora/{entry.path}/{x}_start", y)
            for x, y in zip("ab", (a, b), strict=True)
        ]
        good &= [x.shape for x in start] == [a.shape, b.shape]
        if entry.dora:
            good &= tensors[f"lora/{entry.path}/magnitude"].shape == (
                b.size // entry.rank,
            )
        if not good or b.shape[:1] != (entry.rank,):
            raise _unreadable(path, f"factors that do not fit the kernel {entry.path}")
    for name, shape in header.stored_whole().items():
        if list(tensors[name].shape) != shape:
            raise _unreadable(path, f"another shape of {name} than its header says")
    for name, value in tensors.items():
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise _unreadable(path, f"values that are not finite floats in {name}")


def _unreadable(path: pathlib.Path, what: str) -> InputError:
    return InputError(
        f"Wanted: a whole adapter file of kphotoz. Received: {path}: "
        f"{' '.join(what.split())[:200]}. Copy or save it again."
    )

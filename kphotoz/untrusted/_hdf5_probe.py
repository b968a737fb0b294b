"""Reads through an HDF5 file; run in a process of its own, which may hang or crash.

    python -P _hdf5_probe.py SECONDS FILE [MEMBER OF A ZIP FILE]

Ends with status 0, or with 3 and the reason on standard output; killed after so many
seconds of computing, which other work does not shorten, and kept below 2 GB of memory.
Imports nothing of ours: starting must be quick.
"""

import contextlib
import math
import pathlib
import resource
import sys
import zipfile
from typing import Any

import h5py

_FLOOR = 1 << 26  # bytes; below it nothing is suspicious, and all is read
_EXPANSION = 1100  # more than deflate can do
_OBJECTS = 100_000
_CHUNK = 1 << 29  # bytes
# Addresses beyond those of the start: a chunk packed and unpacked, and some more. A
# length in the file's own heap is believed, whatever it is.
_ROOM = 7 << 28


def main(path: str, member: str | None = None) -> None:
    with contextlib.ExitStack() as stack:
        stream: Any = path
        if member is not None:
            archive = stack.enter_context(zipfile.ZipFile(path))
            stream = stack.enter_context(archive.open(member))
        file = stack.enter_context(h5py.File(stream, "r"))
        items = [file]
        file.visititems(lambda _, item: _note(items, item))
        for item in items:
            _read_attributes(item)
            if isinstance(item, h5py.Dataset):
                _read(item)


def _note(items: list, item: h5py.HLObject) -> None:
    if len(items) > _OBJECTS:
        raise ValueError(f"it has more than {_OBJECTS} datasets and groups")
    items.append(item)


def _read_attributes(item: h5py.HLObject) -> None:
    for name in item.attrs:
        size = h5py.h5a.open(item.id, item.attrs._e(name)).get_storage_size()
        if size > _FLOOR:
            raise ValueError(f"the attribute {name!r} has {size} bytes")
        with contextlib.suppress(TypeError, ValueError):  # a type that numpy lacks
            item.attrs[name]


def _read(dataset: h5py.Dataset) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} is kept in other files: copy them into one")
    declared = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > _FLOOR and declared > _EXPANSION * stored:
        raise ValueError(f"{dataset.name} declares {declared} bytes, holds {stored}")
    if dataset.chunks:
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if chunk > _CHUNK:
            raise ValueError(f"{dataset.name} has chunks of {chunk} bytes")
        dataset.id.get_num_chunks()  # walks through their index
    if not dataset.shape or not declared:
        return
    row = declared // dataset.shape[0]
    if row > _CHUNK:
        return  # not of ours: no row of pixels or of a catalogue is as large
    size = max(1, _FLOOR // max(row, 1))
    whole = declared <= _FLOOR or dataset.ndim <= 2
    starts = range(0, dataset.shape[0], size) if whole else (0, dataset.shape[0] - 1)
    for start in starts:
        dataset[start : start + (size if whole else 1)]


if __name__ == "__main__":
    _, seconds, *arguments = sys.argv
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    with contextlib.suppress(OSError):  # no such file but on Linux
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _ROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        main(*arguments)
    except Exception as error:
        print(" ".join(str(error).split())[:300] or type(error).__name__)
        sys.exit(3)

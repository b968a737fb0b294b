"""Columns of a survey: as TFDS features, and as records encoded many rows at a time.

TFDS encodes one value after the other in Python, which for ninety small columns takes
longer than the pixels. The records here have the same bytes as TFDS' own, with entries
in sorted order, so that plain TFDS reads them.

Source of the wire format: protobuf's encoding guide and tensorflow/core/example.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds

__all__ = ["Column", "RowEncoder"]

# Tags of length-delimited fields 1 and 2: Example.features 1, Features.feature 1, key 1
# and value 2 of the map, Feature.bytes_list 1 and float_list 2, value 1 of both lists.
_FIRST, _SECOND = b"\x0a", b"\x12"
# Below this many bytes columns are joined into one block before rows are written.
_SMALL = 4096


@dataclasses.dataclass(frozen=True)
class Column:
    """One feature of a survey.

    Args:
        name: str.
        doc: str. Meaning and unit.
        kind: str. "text"; "float", a list of float32; or "raw", the numbers' own bytes:
            exact for float64 and int64, and quick for pixels.
        shape: tuple of int. Of one row's value.
        dtype: numpy dtype name; "float32" for kind "float".
    """

    name: str
    doc: str
    kind: str = "float"
    shape: tuple[int, ...] = ()
    dtype: str = "float32"

    def feature(self) -> tfds.features.FeatureConnector:
        """Returns the TFDS feature that reads the column back."""
        if self.kind == "text":
            return tfds.features.Text(doc=self.doc)
        encoding = "bytes" if self.kind == "raw" else "none"
        dtype = np.dtype(self.dtype)
        return tfds.features.Tensor(
            shape=self.shape, dtype=dtype, encoding=encoding, doc=self.doc
        )

    @property
    def size(self) -> int:
        """Bytes of one row's value; of text 0."""
        if self.kind == "text":
            return 0
        return int(np.prod(self.shape, dtype=int)) * np.dtype(self.dtype).itemsize


class RowEncoder:
    """Encodes rows of columns as tf.train.Example records.

    Args:
        columns: sequence of Column.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = sorted(columns, key=lambda column: column.name.encode())
        self._groups = _grouped(self.columns)
        self._fixed = sum(
            len(_opening(column, column.size)) + column.size
            for column in self.columns
            if column.kind != "text"
        )

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the TFDS features that read the records."""
        return tfds.features.FeaturesDict({c.name: c.feature() for c in self.columns})

    def encode(self, values: dict[str, np.ndarray]) -> Iterator[bytes]:
        """Returns one record a row.

        Args:
            values: name of each column to (n, *shape) numbers, or to n bytes (UTF-8).
        """
        count = len(values[self.columns[0].name])
        if not count:
            return
        sizes, streams = np.full(count, self._fixed), []
        for group in self._groups:
            first = group[0]
            if first.kind == "text":
                texts = list(values[first.name])
                openings = [_opening(first, len(text)) for text in texts]
                sizes += [len(a) + len(b) for a, b in zip(openings, texts, strict=True)]
                streams += [openings, texts]
            elif first.size >= _SMALL:
                streams.append([_opening(first, first.size)] * count)
                streams.append(_rows(_bytes_of(first, values[first.name], count)))
            else:
                blocks = [_with_opening(c, values[c.name], count) for c in group]
                streams.append(_rows(np.concatenate(blocks, axis=1)))
        for size, *pieces in zip(sizes.tolist(), *streams, strict=True):
            yield b"".join((_header(size), *pieces))


def _grouped(columns: list[Column]) -> list[list[Column]]:
    """Returns neighbouring small columns of fixed size together, others alone."""
    groups: list[list[Column]] = []
    small = False
    for column in columns:
        joins = small
        small = column.kind != "text" and column.size < _SMALL
        if joins and small:
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@functools.cache
def _header(size: int) -> bytes:
    return _FIRST + _varint(size)


@functools.cache
def _opening(column: Column, size: int) -> bytes:
    """Returns what stands before a value of `size` bytes in a record."""
    numbers = _FIRST + _varint(size)
    kind = _SECOND if column.kind == "float" else _FIRST
    feature = kind + _varint(len(numbers) + size) + numbers
    name = column.name.encode()
    entry = _FIRST + _varint(len(name)) + name
    entry += _SECOND + _varint(len(feature) + size) + feature
    return _FIRST + _varint(len(entry) + size) + entry


def _bytes_of(column: Column, values: np.ndarray, count: int) -> np.ndarray:
    little = np.dtype(column.dtype).newbyteorder("<")
    values = np.ascontiguousarray(values, little)
    if values.shape != (count, *column.shape):
        raise ValueError(
            f"`{column.name}` must have shape {(count, *column.shape)}. "
            f"Received: {values.shape}."
        )
    return values.reshape(count, column.size // little.itemsize).view(np.uint8)


def _with_opening(column: Column, values: np.ndarray, count: int) -> np.ndarray:
    opening = np.frombuffer(_opening(column, column.size), np.uint8)
    opening = np.broadcast_to(opening, (count, len(opening)))
    return np.concatenate([opening, _bytes_of(column, values, count)], axis=1)


def _rows(block: np.ndarray) -> list[memoryview]:
    """Returns the rows of an (n, size) uint8 array without copying them."""
    view, size = block.data.cast("B"), block.shape[1]
    return [view[start : start + size] for start in range(0, len(view), size)]

"""A set of examples in fixed order: splits of surveys, their subsets and unions."""

import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from kphotoz.data.buffers import Buffers
from kphotoz.data.split_store import COLUMNS, NUMBER_COLUMNS
from kphotoz.data.store import Store
from kphotoz.data.survey_info import SurveyInfo
from kphotoz.errors import InputError
from kphotoz.files import hash_arrays

__all__ = ["Sample"]

_HASHED = 1024  # examples in memory at once while they are hashed


class Sample:
    """Examples of one or several survey splits; the table in memory, inputs later.

    Inputs are images or photometry. Subsets and unions share the inputs of the splits
    that they are made of.

    Args:
        parts: sequence of (Store, integer array). Rows of each store, in order.
    """

    def __init__(self, parts: Sequence[tuple[Store, np.ndarray]]) -> None:
        if not parts:
            raise ValueError("`parts` must hold at least one split. Received: none.")
        self._parts = [(store, np.asarray(rows, np.int64)) for store, rows in parts]
        self._ends = np.cumsum([len(rows) for _, rows in self._parts])

    @property
    def info(self) -> SurveyInfo:
        """Facts about the survey of the first part."""
        return self._parts[0][0].info

    @functools.cached_property
    def table(self) -> dict[str, np.ndarray]:
        """One row per example.

        `id`, `group` and `survey` are str; `redshift`, `redshift_error`, `z_true`,
        `magnitude`, `ra` and `dec` [degree] float64, NaN where there is none.
        """
        table = {
            name: np.concatenate(
                [store.table[name][rows] for store, rows in self._parts]
            )
            for name in COLUMNS
        }
        names = [
            np.full(len(rows), store.info.name, object) for store, rows in self._parts
        ]
        return table | {"survey": np.concatenate(names)}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def select(self, rows: np.ndarray) -> "Sample":
        """Returns the subset given by a boolean mask or by distinct row numbers.

        The subset keeps the order of this sample, whatever the order of the numbers.

        Args:
            rows: (n,) bool, or (m,) integers in 0..n-1, each at most once.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(
                    f"A mask must have shape ({len(self)},). Received: {rows.shape}."
                )
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        chosen = np.unique(rows)
        if len(chosen) != len(rows):
            raise ValueError("Row numbers must be distinct. Received: repeated ones.")
        if len(chosen) and not 0 <= chosen[0] <= chosen[-1] < len(self):
            raise ValueError(
                f"Rows must lie in 0..{len(self) - 1}. Received: {rows!r}."
            )
        parts = []
        for (store, own), end in zip(self._parts, self._ends, strict=True):
            start = end - len(own)
            parts.append(
                (store, own[chosen[(chosen >= start) & (chosen < end)] - start])
            )
        return Sample(parts)

    def union(self, other: "Sample") -> "Sample":
        """Returns this sample's rows followed by the other's.

        Raises:
            InputError: bands, shape of the inputs, pixel scale, unit or kind disagree.
        """
        if field := self.info.unlike(other.info):
            mine, theirs = getattr(self.info, field), getattr(other.info, field)
            raise InputError(
                f"Wanted: surveys of equal {field} to be joined. Received: "
                f"{self.info.name} has {mine!r}, {other.info.name} has {theirs!r}. "
                "Build one of them to match the other."
            )
        return Sample(self._parts + other._parts)

    def through(self, change: Callable[[Store], Store]) -> "Sample":
        """Returns the same rows of other stores, as of those with features for inputs.

        Args:
            change: returns what replaces a store: as many examples, in its order.
        """
        return Sample([(change(store), rows) for store, rows in self._parts])

    def inputs(self, limit: int | None = None) -> np.ndarray:
        """Returns images or photometry in table order.

        Args:
            limit: int or None. At most so many, evenly spaced over the sample.

        Returns:
            (n, *input_shape) float32 in the survey's unit.
        """
        rows = np.arange(len(self))
        if limit is not None and limit < len(rows):
            rows = np.linspace(0, len(self) - 1, limit).round().astype(np.int64)
        return self.gather(rows)

    def gather(self, rows: np.ndarray, buffers: Buffers | None = None) -> np.ndarray:
        """Returns the inputs of the given row numbers, in their order.

        Args:
            rows: (n,) integers in 0..len - 1.
            buffers: Buffers or None. Where the memory comes from. [default: new memory]

        Returns:
            (n, *input_shape) float32 in the survey's unit.
        """
        rows = np.asarray(rows, np.int64)
        inputs = (buffers or Buffers()).empty((len(rows), *self.info.input_shape))
        if len(self._parts) == 1:  # one copy instead of two
            store, own = self._parts[0]
            # "clip" lets it write in place; the rows of a split are none to be clipped.
            return np.take(store.inputs, own[rows], axis=0, out=inputs, mode="clip")
        for (store, own), end in zip(self._parts, self._ends, strict=True):
            start = end - len(own)
            mine = (rows >= start) & (rows < end)
            if mine.any():
                inputs[mine] = store.inputs[own[rows[mine] - start]]
        return inputs

    def load(self) -> None:
        """Reads the inputs now, once for all samples made of the same splits."""
        for store, rows in self._parts:
            if len(rows):
                _ = store.inputs

    @functools.cached_property
    def content_hash(self) -> str:
        """The SHA-256 of bands, scales, table and inputs, in hexadecimal."""
        info = self.info
        names = ("kind", "bands", "input_shape", "pixel_scale", "unit", "zero_point")
        facts = str([getattr(info, name) for name in names])
        digest = hashlib.sha256(facts.encode())
        for name, column in self.table.items():
            if column.dtype == object:
                column = np.frombuffer("\0".join(column).encode(), np.uint8)
            digest.update(f"{name}{hash_arrays(column)}".encode())
        for start in range(0, len(self), _HASHED):
            rows = np.arange(start, min(start + _HASHED, len(self)))
            digest.update(hash_arrays(self.gather(rows)).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """Returns the SHA-256 of builds, ids and numbers in order, in hexadecimal.

        Inputs are not read: the name of a build stands for them.
        """
        built = [store.info.built for store, _ in self._parts]
        text = "\0".join([*built, *self.table["survey"], *self.table["id"]]).encode()
        numbers = [self.table[name] for name in NUMBER_COLUMNS]
        return hash_arrays(np.frombuffer(text, np.uint8), *numbers)

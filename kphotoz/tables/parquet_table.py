"""Tables in parquet, read in batches of rows, and only the columns asked for."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kphotoz.tables.table import Block, Table, equal_lists
from kphotoz.untrusted import damaged

__all__ = ["ParquetTable"]

_KIND = "a whole parquet table"


class ParquetTable(Table):
    """A parquet file. Whole numbers stay exact where some are missing."""

    def __init__(self, path: pathlib.Path) -> None:
        from pyarrow import parquet

        self.path = path
        with damaged(path, _KIND), parquet.ParquetFile(path) as file:
            self.names = list(file.schema_arrow.names)
            self._count = file.metadata.num_rows

    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        from pyarrow import parquet

        with damaged(self.path, _KIND), parquet.ParquetFile(self.path) as file:
            groups, before = _from_row(file.metadata, start)
            left, skip = self.count() - before, start - before
            for batch in file.iter_batches(
                size, row_groups=groups, columns=list(names)
            ):
                left -= batch.num_rows
                over = min(skip, batch.num_rows)
                batch, skip = batch.slice(over), skip - over
                columns = {}
                for name in names:
                    columns[name] = _numpy(self.path, name, batch.column(name))
                if batch.num_rows:
                    yield batch.num_rows, columns
            if left:
                raise ValueError(f"it promises {left} more rows than it has")


def _from_row(metadata: Any, start: int) -> tuple[list[int], int]:
    """Returns the row groups from that of a row on, and how many rows lie before."""
    before, groups = 0, list(range(metadata.num_row_groups))
    while groups and 0 < start - before >= metadata.row_group(groups[0]).num_rows:
        before += metadata.row_group(groups.pop(0)).num_rows
    return groups, before


def _numpy(path: pathlib.Path, name: str, column: Any) -> np.ndarray:
    import pyarrow

    kinds, kind = pyarrow.types, column.type
    if kinds.is_dictionary(kind):
        return _numpy(path, name, column.cast(kind.value_type))
    if (
        kinds.is_list(kind)
        or kinds.is_large_list(kind)
        or kinds.is_fixed_size_list(kind)
    ):
        return _lists(path, name, column)
    if column.null_count and (kinds.is_integer(kind) or kinds.is_decimal(kind)):
        return np.array([*column.to_pylist(), None], object)[:-1]
    return column.to_numpy(zero_copy_only=False)


def _lists(path: pathlib.Path, name: str, column: Any) -> np.ndarray:
    from pyarrow import compute

    lengths = compute.fill_null(compute.list_value_length(column), -1)
    width = equal_lists(path, name, lengths.to_numpy(zero_copy_only=False))
    return _numpy(path, name, column.flatten()).reshape(len(column), width)

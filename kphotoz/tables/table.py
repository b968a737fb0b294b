"""What every reader of tables offers: columns whole, or in chunks of rows.

A table is opened for each reading, so there is nothing to close.
"""

import abc
import difflib
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from kphotoz.errors import InputError

__all__ = [
    *("RaggedColumn", "Table", "equal_lists", "no_such_column", "two_of_one_name"),
]

_BLOCK = 4096  # rows read at once; our choice
_SHOWN = 20  # names listed in an error; our choice
Block = tuple[int, dict[str, np.ndarray]]


class RaggedColumn(InputError):
    """A column whose cells are lists of several lengths."""


class Table(abc.ABC):
    """Columns of equal length in one file.

    Args:
        path: path of the file.

    Attributes:
        names: list of str. Names of the columns in file order.

    Raises:
        InputError: it is missing or damaged.
    """

    path: pathlib.Path
    names: list[str]
    _count: int | None = None

    @abc.abstractmethod
    def _blocks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[Block]:
        """Yields (rows, columns) of blocks of any length, `size` if that is easy.

        The first row is `start`; what comes before is left unread if that is easy.
        """

    def count(self) -> int:
        """Returns the number of rows."""
        if self._count is None:
            self._count = sum(rows for rows, _ in self._blocks([], _BLOCK))
        return self._count

    def read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns columns whole, as they are stored.

        Args:
            names: sequence of str.

        Raises:
            InputError: a column does not exist or cannot be read.
        """
        self._check(names)
        blocks = list(self._blocks(names, _BLOCK))
        self._count = sum(rows for rows, _ in blocks)
        if not blocks:
            return {name: np.empty(0, object) for name in names}
        return self._join([block for _, block in blocks])

    def chunks(
        self, names: Sequence[str], size: int, start: int = 0
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yields (first row, columns) in row order.

        Args:
            names: sequence of str.
            size: int > 0. Rows in a chunk; the last may be shorter.
            start: int. Row to begin with.

        Raises:
            InputError: a column does not exist or cannot be read.
        """
        self._check(names)
        held, pieces, first = 0, [], start
        for rows, block in self._blocks(names, size, start):
            pieces.append(block)
            held += rows
            while held >= size:
                whole = self._join(pieces)
                yield first, {name: column[:size] for name, column in whole.items()}
                pieces = [{name: column[size:] for name, column in whole.items()}]
                held, first = held - size, first + size
        if held:
            yield first, self._join(pieces)

    def _join(self, pieces: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        if len(pieces) == 1:
            return pieces[0]
        joined = {}
        for name in pieces[0]:
            columns = [piece[name] for piece in pieces]
            widths = {column.shape[1:] for column in columns if len(column)}
            if len(widths) > 1:
                raise _ragged(self.path, name, sorted(str(width) for width in widths))
            joined[name] = np.concatenate([c for c in columns if len(c)] or columns[:1])
        return joined

    def _check(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.names:
                raise no_such_column(self.path, name, self.names)
            if self.names.count(name) > 1:
                raise two_of_one_name(self.path, self.names)


def no_such_column(path: pathlib.Path, name: str, names: Sequence[str]) -> InputError:
    """Returns the error for a column that is not there; names the nearest ones.

    Args:
        path: path of the table.
        name: str. What was asked for.
        names: sequence of str. What there is.
    """
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else "Name one of these."
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    words = ", ".join(names[:_SHOWN]) or "no columns"
    return InputError(
        f"Wanted: column {name!r} in {path}. Received: {words}{more}. {hint}"
    )


def two_of_one_name(path: pathlib.Path, names: Sequence[str]) -> InputError:
    """Returns the error for columns that cannot be told apart."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return InputError(
        f"Wanted: columns of different names. Received: {path} with two of "
        f"{', '.join(map(repr, twice))}. Rename one."
    )


def equal_lists(path: pathlib.Path, name: str, lengths: np.ndarray) -> int:
    """Returns the length that all lists of a column have.

    Args:
        path: path of the table.
        name: str. Name of the column.
        lengths: (n,) int. Length of each row's list, -1 where there is none.

    Raises:
        InputError: they differ.
    """
    distinct = np.unique(lengths)
    if len(distinct) > 1:
        raise _ragged(path, name, [str(length) for length in distinct[:5]])
    if len(distinct) and distinct[0] < 0:
        raise _ragged(path, name, ["none"])
    return int(distinct[0]) if len(distinct) else 0


def _ragged(path: pathlib.Path, name: str, lengths: list[str]) -> RaggedColumn:
    return RaggedColumn(
        f"Wanted: lists of one length in column {name!r} of {path}. Received: lengths "
        f"{', '.join(lengths)} (-1 is no list). Give each row as many values."
    )

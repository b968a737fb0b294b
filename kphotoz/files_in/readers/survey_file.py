"""A user's file as its spec describes it: what images and catalogues share."""

import abc
import contextlib
import functools
import re
from collections.abc import Callable, Iterator

import numpy as np

from kphotoz.data.stream import Chunks
from kphotoz.errors import InputError
from kphotoz.files_in.readers.source import no_such_key
from kphotoz.files_in.survey_spec import SurveySpec
from kphotoz.tables import cells

__all__ = ["SurveyFile"]

# Half of a catalogue beyond this redshift is a column of magnitudes; our choice.
_HIGHEST_MEDIAN = 10.0


class SurveyFile(abc.ABC):
    """Inputs of a model and labels in one file. A context manager; or `close` it.

    Attributes:
        spec: SurveySpec. Where things are and what they mean.
        kind: "image" or "catalog".
        bands: tuple of str. Band names in file order.
        pixel_scale: float [arcsec] or None.
        zero_point: list of float, one per band [mag], or None. Of images.
        input_shape: tuple of int. Shape of one row's input.
        chunk: int. Rows to read at once.
    """

    kind: str
    chunk: int
    spec: SurveySpec
    bands: tuple[str, ...]
    pixel_scale: float | None
    zero_point: list[float] | None
    input_shape: tuple[int, ...]

    def __enter__(self) -> "SurveyFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of rows."""

    @property
    @abc.abstractmethod
    def names(self) -> list[str]:
        """The keys that the file has."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the file."""

    @abc.abstractmethod
    def chunks(self, size: int, start: int = 0) -> Chunks:
        """Yields what is in the file from row `start` on, as `Stream.chunks` does."""

    def magnitudes(self, rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Returns the magnitudes of rows, NaN where unknown.

        Args:
            rows: (m,) int. Row numbers.
            inputs: (m, *input_shape) float32. Their inputs.

        Returns:
            (m,) float64 [mag].
        """
        if "magnitude" in self.table:
            return self.table["magnitude"][rows]
        return np.full(len(rows), np.nan)

    @abc.abstractmethod
    def _read(self, names: list[str]) -> dict[str, np.ndarray]:
        """Returns columns whole, as they are stored."""

    def key(self, role: str) -> str | None:
        """Returns the key of a role: mapped, or the file's by its exact usual name.

        Args:
            role: str. One of the spec's roles.
        """
        if role == "redshift" and not self.spec.labelled:
            return None
        if role in self.spec.keys:
            return self.spec.keys[role]
        usual = [name for name in self.spec.ROLES[role] if name in self.names]
        if len(usual) > 1:
            raise InputError(
                f"Wanted: one {role} in {self.spec.file}. Received: "
                f"{' and '.join(usual)}. Choose with --key {role}=NAME."
            )
        return usual[0] if usual else None

    @functools.cached_property
    def table(self) -> dict[str, np.ndarray]:
        """The columns that the file has, by role; `id` is always there.

        `id` and `group` are str objects, all else float64 with NaN for no value.
        """
        return self.labels()

    def labels(
        self, tell: Callable[[str], None] | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the columns of `table`, or those of them that can be read.

        Args:
            tell: called with one line on each column that cannot be read and is no
                mapped one, which is then left out. [default: it is refused]

        Raises:
            InputError: a column cannot be read.
        """
        keys, table = {}, {}
        for role in self.spec.ROLES:
            with self._optional(role, tell):
                if role != "image" and (key := self.key(role)) is not None:
                    keys[role] = split_key(key)
        raw = self._raw([name for name, _ in keys.values()], one_by_one=bool(tell))
        for role, (name, index) in keys.items():
            with self._optional(role, tell):
                column = raw[name] if name in raw else self._read([name])[name]
                if np.ndim(column):
                    self._check_length(column, role, name)
                table[role] = self._label(entry(column, name, index, role), role)
        if "id" not in table:
            table["id"] = np.array([str(row) for row in range(len(self))], object)
        return table

    def _raw(self, names: list[str], one_by_one: bool) -> dict[str, np.ndarray]:
        """Returns columns; none where not all can be read, if one by one will do."""
        try:
            return self._read(list(dict.fromkeys(names)))
        except InputError:
            if not one_by_one:
                raise
            return {}

    @contextlib.contextmanager
    def _optional(self, role: str, tell: Callable[[str], None] | None) -> Iterator:
        try:
            yield
        except InputError as error:
            if tell is None or role in self.spec.keys:
                raise
            tell(f"Without {role}: {error}")

    def _label(self, column: np.ndarray, role: str) -> np.ndarray:
        """Returns a column as text or numbers."""
        what = f"{role} ({self.key(role)!r} in {self.spec.file})"
        if role in ("id", "group"):
            return cells.text(column, what)
        values = cells.numbers(column, what)
        if role == "redshift":
            self._check_redshifts(values)
        if role in ("magnitude", "redshift_error"):
            return _without_sentinels(role, values)
        return values

    def require(self, role: str) -> None:
        """Checks that the file has a role.

        Raises:
            InputError: it has not; says which keys there are.
        """
        if self.key(role) is not None:
            return
        error = no_such_key(self.spec.file, role, self.names)
        if role == "redshift" and {"z", "Z"} & set(self.names):
            error = InputError(
                f"{error} A column 'z' may be a magnitude: if it is the redshift, "
                "say --key redshift=z."
            )
        if role == "redshift":
            error = InputError(f"{error} If there are none, say --label-kind none.")
        raise error

    def _check_length(self, column: np.ndarray, role: str, name: str) -> None:
        if len(column) != len(self):
            rows = "images" if self.kind == "image" else "rows"
            raise InputError(
                f"Wanted: equal lengths in {self.spec.file}. Received: {len(self)} "
                f"{rows} but {len(column)} values of {role} ({name!r})."
            )

    def _check_redshifts(self, redshifts: np.ndarray) -> None:
        usable = redshifts[(redshifts > 0) & (redshifts < 90)]
        if len(usable) and np.median(usable) > _HIGHEST_MEDIAN:
            raise InputError(
                f"Wanted: redshifts in {self.key('redshift')!r} of {self.spec.file}. "
                f"Received: a median of {np.median(usable):.4g}, as magnitudes have. "
                "Map the right column with --key redshift=NAME."
            )


def split_key(key: str) -> tuple[str, int | None]:
    """Returns name and index of a key, None where `NAME[I]` has no index.

    Args:
        key: str. `NAME` or `NAME[I]`.
    """
    indexed = re.fullmatch(r"(.+)\[(\d{1,9})\]", key)
    return (indexed[1], int(indexed[2])) if indexed else (key, None)


def entry(column: np.ndarray, name: str, index: int | None, role: str) -> np.ndarray:
    """Returns one value a row: the column itself, or one entry of its arrays.

    Args:
        column: (n,) or (n, m).
        name: str. Name of the column.
        index: int or None. Which entry.
        role: str. What it is for.

    Raises:
        InputError: there is no such entry, or none was chosen.
    """
    column = np.asarray(column)
    if column.ndim != (1 if index is None else 2):
        raise InputError(
            f"Wanted: one value a row for {role}. Received: shape {column.shape} "
            f"in {name!r}. Name an entry of arrays as '{name}[I]', a plain column "
            "without it."
        )
    if index is None:
        return column
    if index >= column.shape[1]:
        raise InputError(
            f"Wanted: column {index} of {name!r} for {role}. Received: "
            f"{column.shape[1]} columns, counted from 0."
        )
    return column[:, index]


def _without_sentinels(role: str, values: np.ndarray) -> np.ndarray:
    """Returns magnitudes or redshift errors with NaN for what only stands for none.

    Args:
        role: str. "magnitude" or "redshift_error".
        values: (n,) float64.
    """
    known = np.abs(values) < 90 if role == "magnitude" else values > 0
    return np.where(known, values, np.nan)

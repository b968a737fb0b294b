"""Rows that are one object: their numbers, and how they are drawn again together."""

from collections.abc import Iterator

import numpy as np

from kphotoz.errors import InputError

__all__ = ["number_groups", "redrawn", "total_weights"]


def number_groups(groups: np.ndarray) -> np.ndarray:
    """Returns the number of each row's group, (n,) int, from 0 without gaps.

    Args:
        groups: (n,) names or whole numbers; a row of "", None or NaN is its own group.

    Raises:
        InputError: not one name or number a row.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or groups.dtype.kind not in "iufUO":
        raise InputError(
            "Wanted: one name or whole number a row for groups. "
            f"Received: {groups.dtype} of shape {groups.shape}. Name another column."
        )
    if groups.dtype.kind == "O":
        known = (one is not None and one == one for one in groups)
        named = zip(groups, known, strict=True)
        groups = np.array([str(one) if here else "" for one, here in named], str)
    missing = groups == "" if groups.dtype.kind == "U" else ~np.isfinite(groups)
    _, numbers = np.unique(groups, return_inverse=True)
    numbers[missing] = numbers.size + np.arange(np.count_nonzero(missing))
    return np.unique(numbers, return_inverse=True)[1]


def total_weights(weights: np.ndarray | None, groups: np.ndarray) -> np.ndarray:
    """Returns the sum of weights in each group, (..., groups); of ones if None."""
    if weights is None or weights.ndim == 1:
        return np.bincount(groups, weights)
    return np.stack([np.bincount(groups, row) for row in weights])


def redrawn(
    generator: np.random.Generator,
    groups: np.ndarray | None,
    size: int,
    draws: range,
    most: int,
) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
    """Yields up to `most` draws with replacement: which ones, and rows (m, length).

    Args:
        generator: numpy Generator.
        groups: (size,) int, or None where each row is a group of its own.
        size: int. Rows.
        draws: range of the draws to make.
        most: int. The largest m.
    """
    if groups is not None:
        yield from _redrawn_groups(generator, groups, draws, most)
        return
    for start in range(draws.start, draws.stop, most):
        stop = min(start + most, draws.stop)
        rows = generator.integers(0, size, size=(stop - start, size))
        yield slice(start, stop), rows


def _redrawn_groups(generator, groups, draws, most):
    """Yields draws of groups, whose rows all come along, those of one length together.

    Groups are counted in the order of their first rows: where each row is a group of
    its own the draws are those of rows, and copies of all rows change nothing. One
    group alone has no spread: nothing comes.
    """
    _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    groups = np.argsort(np.argsort(first))[groups]
    members = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    starts = np.cumsum(counts) - counts
    if counts.size < 2:
        return
    chosen = generator.integers(0, counts.size, size=(len(draws), counts.size))
    lengths = counts[chosen].sum(axis=1)
    for length in np.unique(lengths):
        alike = np.flatnonzero(lengths == length)
        for start in range(0, alike.size, most):
            places = alike[start : start + most]
            some = chosen[places].ravel()
            ends = np.cumsum(counts[some])
            shift = np.repeat(starts[some] - ends + counts[some], counts[some])
            rows = members[shift + np.arange(ends[-1])]
            yield draws.start + places, rows.reshape(places.size, length)

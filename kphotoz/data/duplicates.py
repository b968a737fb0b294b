"""Which rows of one catalogue are objects of another, by position or by id."""

import numpy as np

__all__ = ["find_duplicates", "find_same_ids", "on_sky"]


def find_duplicates(
    ra1: np.ndarray,
    dec1: np.ndarray,
    ra2: np.ndarray,
    dec2: np.ndarray,
    radius: float,
) -> np.ndarray:
    """Returns for each row of the second catalogue its match in the first.

    The match is the nearest row on the sphere; rows without a position on it, as those
    of -99 or 9999, have none.

    Args:
        ra1, dec1: (n,) float64 [degree].
        ra2, dec2: (m,) float64 [degree].
        radius: float > 0 [arcsec]. Rows at most this far apart are one object.

    Returns:
        (m,) int64. Row of the first catalogue, -1 where none is near enough.
    """
    from scipy.spatial import cKDTree

    matches = np.full(len(ra2), -1, np.int64)
    first, points1 = _unit_vectors(ra1, dec1)
    second, points2 = _unit_vectors(ra2, dec2)
    if not len(first) or not len(second):
        return matches
    chord = 2 * np.sin(np.radians(radius / 3600) / 2)
    # The tree leaves out what lies at its bound exactly; we do not.
    distance, row = cKDTree(points1).query(
        points2, distance_upper_bound=np.nextafter(chord, np.inf)
    )
    near = np.isfinite(distance)
    matches[second[near]] = first[row[near]]
    return matches


def find_same_ids(ids1: np.ndarray, ids2: np.ndarray) -> np.ndarray:
    """Returns for each row of the second catalogue the first row of the same id.

    Args:
        ids1: (n,) str. Empty text is no id.
        ids2: (m,) str.

    Returns:
        (m,) int64. Row of the first catalogue, -1 where no id is equal.
    """
    rows: dict[str, int] = {}
    for row, name in enumerate(ids1):
        if name:
            rows.setdefault(name, row)
    return np.array([rows.get(name, -1) for name in ids2], np.int64)


def on_sky(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Returns which rows have a position, (n,) bool: -99 and 9999 are no declinations.

    Args:
        ra, dec: (n,) float64 [degree].
    """
    return np.isfinite(ra) & (np.abs(dec) <= 90)


def _unit_vectors(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    rows = np.flatnonzero(on_sky(ra, dec))
    a, d = np.radians(ra[rows]), np.radians(dec[rows])
    vectors = np.stack([np.cos(a) * np.cos(d), np.sin(a) * np.cos(d), np.sin(d)], 1)
    return rows, vectors

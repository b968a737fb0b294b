"""Which rows are one object, and which split an object belongs to."""

import hashlib

import numpy as np

from kphotoz.data.duplicates import on_sky
from kphotoz.data.survey_info import SPLITS

__all__ = ["group_by_position", "places", "split_of_groups"]


def split_of_groups(
    groups: np.ndarray, fractions: tuple[float, ...], seed: int
) -> np.ndarray:
    """Returns the split of each row, a pure function of its group and the seed.

    So rows of one group share a split, and rows added later move nobody.

    Args:
        groups: (n,) str.
        fractions: of the groups in train, validation, calibration and test.
        seed: int. Another seed gives another split.

    Returns:
        (n,) str objects.
    """
    edges = np.cumsum(fractions)[:-1]
    chosen = np.searchsorted(edges, places(groups, str(seed)), side="right")
    return np.array(SPLITS, object)[chosen]


def places(groups: np.ndarray, salt: str) -> np.ndarray:
    """Returns a number in [0, 1) for each row, a pure function of its group and salt.

    Args:
        groups: (n,) str.
        salt: str. Another salt gives independent numbers.

    Returns:
        (n,) float64.
    """
    names, rows = np.unique(groups.astype(str), return_inverse=True)
    numbers = [
        int.from_bytes(hashlib.sha256(f"{salt}:{name}".encode()).digest()[:6]) / 2**48
        for name in names.tolist()
    ]
    return np.array(numbers)[rows]


def group_by_position(ra: np.ndarray, dec: np.ndarray, radius: float) -> np.ndarray:
    """Returns a group name per row: friends of friends on the sky.

    Cutouts of neighbours share pixels, so neighbours must not be split apart. A group
    is named after the position of its southernmost row, to half an arcsecond, so that
    the same objects have the same group in every catalogue that holds them all.

    Args:
        ra, dec: (n,) float64 [degree].
        radius: float [arcsec]. Rows nearer than this are friends.

    Returns:
        (n,) str objects, "" for a row without a position.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    placed = np.flatnonzero(on_sky(ra, dec))
    # One point for all rows of one position: n of them would be n^2 / 2 pairs.
    spots, spot = np.unique(
        np.stack([ra[placed], dec[placed]], axis=1), axis=0, return_inverse=True
    )
    a, d = np.radians(spots.T)
    points = np.stack([np.cos(a) * np.cos(d), np.sin(a) * np.cos(d), np.sin(d)], axis=1)
    chord = 2 * np.sin(np.radians(radius / 3600) / 2)
    pairs = cKDTree(points).query_pairs(chord, output_type="ndarray").reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(points),) * 2)
    _, labels = connected_components(links, directed=False)
    groups = np.full(len(ra), "", object)
    # South first, then west: the first row of each group is the one it is named after.
    south = np.lexsort((ra[placed], dec[placed]))
    order, labels = placed[south], labels[spot.reshape(-1)][south]
    _, first, member = np.unique(labels, return_index=True, return_inverse=True)
    halves = np.stack([ra[order] % 360, dec[order]], axis=1)[first] * 7200
    cells = np.rint(halves).astype(np.int64)
    cells[:, 0] %= 360 * 7200
    names = [f"sky-{east}{north:+d}" for east, north in cells.tolist()]
    groups[order] = np.array([*names, None], object)[:-1][member]
    return groups

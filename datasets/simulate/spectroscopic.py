"""A bright sample that looks, in redshift, magnitude and colour, like real HSC spectra.

Targets are drawn from a mixture fitted to real triplets (`fit_hsc_density.py`); each
takes the nearest galaxy of the field that no other target has taken.
"""

import functools
import pathlib

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["draw_targets", "match"]

# Of ln(1 + z), i and g - z: how near is near (our choice).
SCALES = np.array([0.01, 0.25, 0.1])
NEIGHBOURS = 60


@functools.cache
def _mixture() -> dict[str, np.ndarray]:
    path = pathlib.Path(__file__).with_name("hsc_density.npz")
    with path.open("rb") as stream, np.load(stream) as file:
        return {name: file[name] for name in file.files}


def draw_targets(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns targets (count, 3): ln(1 + z), i and g - z of HSC spectroscopy.

    Args:
        count: int.
        rng: numpy Generator.
    """
    mixture = _mixture()
    roots = np.linalg.cholesky(mixture["covariances"])
    kept = np.zeros((0, 3))
    while len(kept) < count:
        which = rng.choice(len(roots), 2 * count, p=mixture["weights"])
        noise = rng.standard_normal((2 * count, 3))
        rows = mixture["means"][which] + np.einsum("nij,nj->ni", roots[which], noise)
        inside = (rows[:, 0] > np.log(1.01)) & (rows[:, 0] < np.log(5.0))
        inside &= (rows[:, 1] > 17) & (rows[:, 1] < 25) & (abs(rows[:, 2]) < 5)
        kept = np.concatenate([kept, rows[inside]])
    return kept[:count]


def match(targets: np.ndarray, library: np.ndarray) -> np.ndarray:
    """Returns the row of `library` for each target that got one, each row once.

    Args:
        targets: array (n, 3) as from `draw_targets`.
        library: array (m, 3), the same columns.

    Returns:
        int array (k,), k <= n, in the order of the targets; targets whose
        60 nearest are all taken, or lie far beyond the scales, are left out.
    """
    tree = cKDTree(library / SCALES)
    near = min(NEIGHBOURS, len(library))
    # 10 scales: farther, the field simply has no such galaxy (our choice).
    distance, index = tree.query(targets / SCALES, near, distance_upper_bound=10.0)
    taken, rows = set(), []
    for candidates, reach in zip(index, distance, strict=True):
        for row, how_far in zip(candidates.tolist(), reach.tolist(), strict=True):
            if np.isfinite(how_far) and row not in taken:
                taken.add(row)
                rows.append(row)
                break
    return np.asarray(rows, int)

"""What all comparisons of two samples check and prepare."""

import numpy as np

from kphotoz.errors import InputError

LEAST = 10  # rows of a sample below which nothing can be said; our choice


def check_rows(rows: np.ndarray, name: str, least: int = LEAST) -> np.ndarray:
    """Returns finite features as float64 (n, feature).

    Args:
        rows: float array (n, feature).
        name: str. What to call them in an error.
        least: int. The fewest rows.

    Raises:
        InputError: another shape, too few rows, or a value that is not finite.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or len(rows) < least or not rows.shape[1]:
        raise InputError(
            f"Wanted: features (row, feature) of {least} rows or more of the {name}. "
            f"Received: shape {rows.shape}. Give a larger sample."
        )
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(
            f"Wanted: finite features of the {name}. Received: NaN or infinity in "
            f"{bad.size} rows, first row {bad[0]}. Leave such rows out."
        )
    return rows


def check_pair(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two samples of the same features, as `check_rows` does.

    Raises:
        InputError: as `check_rows`, or different numbers of features.
    """
    source, target = check_rows(source, "source"), check_rows(target, "target")
    if source.shape[1] != target.shape[1]:
        raise InputError(
            "Wanted: the same features of source and target. Received: "
            f"{source.shape[1]} and {target.shape[1]}. Take the same layer of both."
        )
    return source, target


def standardised(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns both samples in one array, each feature of mean 0 and variance 1.

    Constant features are left out; if all are, one of zeros is left.
    """
    both = np.concatenate([source, target])
    both = both - both.mean(axis=0)
    scale = both.std(axis=0)
    # A constant's rounding error is no spread.
    varies = scale > 1e-12 * np.abs(np.concatenate([source, target])).max(axis=0)
    if not varies.any():
        return np.zeros((len(both), 1))
    return both[:, varies] / scale[varies]


def check_count(name: str, value: int, least: int) -> None:
    """Checks a number of draws or folds.

    Raises:
        InputError: it is smaller than `least`.
    """
    if value < least:
        raise InputError(f"Wanted: `{name}` of {least} or more. Received: {value}.")


def label_draws(source: int, target: int, permutations: int, seed: int) -> np.ndarray:
    """Returns who is of the target, as 0/1 (row, 1 + permutations); first the truth."""
    truth = np.repeat([0.0, 1.0], [source, target])
    generator = np.random.default_rng(seed)
    draws = np.tile(truth[:, None], (1, permutations + 1))
    draws[:, 1:] = generator.permuted(draws[:, 1:], axis=0)
    return draws


def p_value(statistics: np.ndarray) -> float:
    """Returns the share of statistics that reach the first, itself among them.

    Source: Phipson & Smyth 2010, arXiv 1603.05766: never zero, and exact.
    """
    # Equal sums in another order differ by rounding.
    slack = 1e-12 * max(1.0, float(np.abs(statistics).max()))
    return float(np.mean(statistics >= statistics[0] - slack))

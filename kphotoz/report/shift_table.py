"""What a comparison of two samples found, as tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

__all__ = ["shift_tables"]

_DRIFTS = 8  # features shown, the largest effects first


def shift_tables(results: Mapping[str, Any]) -> list[Table]:
    """Returns the tests in each view, the matched repeats, and the largest drifts.

    Args:
        found: dict as in shift.json.
    """
    title = f"{results['target']} against {results['source']}"
    tests = _table(
        title, ["features", "AUC", "p", "MMD²", "p", "Fréchet (null)", "p", "outside"]
    )
    for view, one in results["tests"].items():
        tests.add_row(
            view,
            f"{one['auc']:.3f}",
            f"{one['auc_p']:.3g}",
            f"{one['mmd2']:.4f}",
            f"{one['mmd2_p']:.3g}",
            f"{one['frechet']:.2f} ({one['frechet_null']:.2f})",
            f"{one['frechet_p']:.3g}",
            f"{one['outside']:.1%}",
        )
    repeats = _table(
        "The same with samples made alike",
        ["alike in", "features", "objects", "AUC", "p"],
    )
    for what, sides in results["matched"].items():
        for view, one in sides.items():
            numbers = f"{one['objects']}", f"{one['auc']:.3f}", f"{one['auc_p']:.3g}"
            repeats.add_row(what, view, *numbers)
    drifts = _table(
        "Largest drifts, target minus source",
        ["feature", "median", "effect", "KS", "p (Holm)"],
    )
    for one in sorted(results["drift"], key=_size, reverse=True)[:_DRIFTS]:
        drifts.add_row(
            one["name"],
            f"{one['median']:+.3f}",
            f"{one['effect']:+.2f}",
            f"{one['ks']:.3f}",
            f"{one['p_holm']:.3g}",
        )
    return [tests, repeats, drifts]


def _size(one: Mapping[str, Any]) -> float:
    effect = abs(one["effect"])
    return effect if effect == effect else -1.0


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    return table

"""`kphotoz evaluate A B …`: several tables on their common objects."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kphotoz_cli._table_spec import TableSpec

PREDICTED, ID, GROUP = "z_pred", "id", "group"
REFERENCES = ("z_true", "redshift", "z_label")
_ONE_EACH = "one table each: errors are those of the objects, not of another training"


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the options said: column names, cuts and the bootstrap."""

    pred: str | None
    true: str | None
    id: str | None
    weight: str | None
    group: str | None
    where: Sequence[str]
    by: Sequence[str]
    names: Sequence[str]
    windows: Sequence[Any]
    grid: tuple[float, float] | None
    tolerance: float
    draws: int
    seed: int


def group_column(columns: Collection[str], given: str | None) -> str | None:
    """Returns the column that tells rows of one object: the one given, or ours."""
    return given or (GROUP if GROUP in columns else None)


def grouping(choice: Choice) -> set[str]:
    """Returns the column to read as text: 19 digits do not survive as a float64."""
    cut = {text.partition(":")[0] for text in choice.by}
    return {choice.group or GROUP} - cut


def evaluate(
    specs: Sequence[TableSpec], choice: Choice, select: Callable, edges: Callable
) -> dict[str, Any]:
    """Returns tables, rows and paired differences on the objects common to all tables.

    Args:
        specs: the tables.
        choice: Choice.
        select: function (columns, where) -> columns, of single tables.
        edges: function text -> edges or None.
    """
    import numpy as np

    from kphotoz.errors import InputError
    from kphotoz.metrics.groups import number_groups
    from kphotoz.metrics.joined import join

    sides, facts = {}, []
    for spec in specs:
        side, described = _read(spec, choice, select)
        sides[spec.name] = side
        facts.append(described)
    _check_wanted(sides, choice)
    joined = join(sides, choice.tolerance)
    weights = joined.more.get(choice.weight) if choice.weight else None
    weights = None if weights is None else np.asarray(weights, np.float64)
    keep, unusable = _usable(joined, weights)
    if not keep.any():
        told = ", ".join(f"{count} {reason}" for reason, count in unusable.items())
        raise InputError(
            f"Wanted: objects that every table has a usable redshift of. Received: "
            f"none of {joined.ids.size} common ones ({told or 'no common id'}). Name "
            "other columns or tables."
        )
    for described in facts:
        described["left_out"] = joined.left_out[described["name"]]
    group = group_column(joined.more, choice.group)
    groups = number_groups(joined.more[group])[keep] if group else None
    result = {
        "tables": facts,
        "common": int(joined.ids.size),
        "used": int(keep.sum()),
        "truths_differ": joined.truths_differ,
        "largest_difference_of_truths": joined.largest,
        "weight": choice.weight,
        "group": group,
    }
    weights = None if weights is None else weights[keep]
    objects = {"weights": weights, "groups": groups}
    rows = _rows(joined, keep, objects, unusable, choice, edges)
    return result | {
        "rows": rows,
        "differences": _differences(joined, keep, objects, choice),
    }


def _read(spec: TableSpec, choice: Choice, select: Callable):
    from kphotoz.errors import InputError
    from kphotoz.metrics.joined import Side
    from kphotoz.tables import column, read_table
    from kphotoz_cli._run_columns import check_one_run

    name = spec.id or choice.id or ID
    columns = read_table(spec.path, text={name} | grouping(choice))
    if name not in columns:
        raise InputError(
            "Wanted: --id COL, the column that several tables are joined on. "
            f"Received: {spec.path} without a column {name!r}; it has "
            f"{', '.join(columns)}."
        )
    own = [text for text in choice.where if text.partition("=")[0] in columns]
    columns = select(columns, own)
    split = {text.partition(":")[0] for text in choice.by}
    check_one_run(columns, split, str(spec.path))
    pred = spec.pred or choice.pred or (PREDICTED if PREDICTED in columns else None)
    if pred is None:
        raise InputError(
            f"Wanted: --pred COL, or {spec.path}:pred=COL. Received columns: "
            f"{', '.join(columns)}."
        )
    true = spec.true or _reference(columns, choice.true)
    described = {"name": spec.name, "table": str(spec.path), "id": name, "pred": pred}
    described |= {"true": true, "rows": len(columns[name])}
    side = Side(
        ids=columns[name],
        pred=column(columns, pred, numeric=True),
        true=None if true is None else column(columns, true, numeric=True),
        more=columns,
    )
    return side, described


def _reference(columns, given: str | None) -> str | None:
    """Returns the column of the truth; a table may leave it to another one."""
    import numpy as np

    if given is not None:
        return given if given in columns else None
    held = [name for name in REFERENCES if name in columns]
    held = [name for name in held if columns[name].dtype.kind == "f"]
    return next((name for name in held if np.isfinite(columns[name]).any()), None)


def _check_wanted(sides, choice: Choice) -> None:
    """Raises if a column that an option names is in no table."""
    from kphotoz.errors import unknown

    wanted = [text.partition("=")[0] for text in choice.where]
    wanted += [text.partition(":")[0] for text in choice.by]
    wanted += filter(None, (choice.weight, choice.group, choice.true))
    held = {name for side in sides.values() for name in side.more}
    for name in wanted:
        if name not in held:
            raise unknown("column", name, held)


def _usable(joined, weights):
    """Returns who can be scored in every table, and reason -> count of who cannot."""
    import numpy as np

    from kphotoz.metrics import label_reasons

    reasons = label_reasons(joined.truth)
    for name, pred in joined.preds.items():
        reasons[f"{name}: prediction non_finite"] = ~np.isfinite(pred)
        reasons[f"{name}: prediction ≤ −1"] = pred <= -1
    if weights is not None:
        bad = ~np.isfinite(weights) | (weights < 0)
        reasons["weight non_finite or negative"] = bad
    keep = ~np.any(list(reasons.values()), axis=0)
    counts = {reason: int(bad.sum()) for reason, bad in reasons.items()}
    return keep, {reason: count for reason, count in counts.items() if count}


def _rows(joined, keep, objects, unusable, choice: Choice, edges) -> list[dict]:
    from kphotoz.metrics import strata

    cuts = {}
    for text in choice.by:
        name, _, cut = text.partition(":")
        cuts |= strata.parts(name, joined.more[name][keep], edges(cut))
    rows = []
    for name, pred in joined.preds.items():
        found = strata.stratified(
            pred[keep],
            joined.truth[keep],
            names=choice.names,
            **objects,
            windows=choice.windows,
            strata=cuts,
            grid=choice.grid,
            draws=choice.draws,
            seed=choice.seed,
        )
        for row in found:
            if row["stratum"] == "all":
                row["excluded"] = unusable
            rows.append({"table": name, **row})
    return rows


def _differences(joined, keep, objects, choice: Choice) -> list[dict]:
    from kphotoz import metrics

    found = []
    for metric in choice.names:
        for window in choice.windows:
            pairs = metrics.paired_differences(
                metric,
                {name: pred[keep] for name, pred in joined.preds.items()},
                joined.truth[keep],
                **objects,
                window=window,
                draws=choice.draws,
                seed=choice.seed,
            )
            found += [
                {
                    "a": a,
                    "b": b,
                    "metric": metric,
                    "window": None if window is None else str(window),
                    "value": one.value,
                    "error": one.error,
                    "n": one.n,
                    "beyond_2_errors": bool(abs(one.value) > 2 * one.error),
                    "definition": one.definition,
                    "note": _ONE_EACH,
                }
                for (a, b), one in pairs.items()
            ]
    return found

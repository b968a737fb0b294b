"""Metrics of one table, or of several on the objects that all of them have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kphotoz import metrics
from kphotoz.errors import InputError, unknown
from kphotoz.evaluation.choice import Choice
from kphotoz.evaluation.columns import (
    ID,
    check_one_run,
    empty_reference,
    group_column,
    predicted,
    reference,
    select,
    text_columns,
)
from kphotoz.evaluation.table_spec import TableSpec
from kphotoz.metrics import strata
from kphotoz.metrics.groups import number_groups
from kphotoz.metrics.joined import Joined, Side, join
from kphotoz.tables import column, read_table

__all__ = ["evaluate"]

_ONE_EACH = "one table each: errors are those of the objects, not of another training"


def evaluate(specs: Sequence[TableSpec], choice: Choice) -> dict[str, Any]:
    """Returns the metrics of tables, as plain values.

    Args:
        specs: one table, or several: these are joined on an id.
        choice: Choice.

    Returns:
        dict of the names of columns and of "rows", as `metrics.strata.stratified` makes
        them; of several tables also of "tables", counts of objects and "differences".

    Raises:
        InputError: a column is missing, or holds nothing that can be scored.
    """
    return _of_one(specs[0], choice) if len(specs) == 1 else _of_many(specs, choice)


def _of_one(spec: TableSpec, choice: Choice) -> dict[str, Any]:
    columns = select(read_table(spec.path, text=text_columns(choice)), choice.where)
    pred = predicted(columns, spec.pred or choice.pred)
    true = spec.true or choice.true or reference(columns) or empty_reference(columns)
    lacking = [o for o, name in (("--pred", pred), ("--true", true)) if name is None]
    if pred is None or true is None:
        raise InputError(
            f"Wanted: {' and '.join(lacking)}, since the table does not have kphotoz's "
            f"column names. Received columns: {', '.join(columns)}."
        )
    check_one_run(columns, choice)
    weight, group = choice.weight, group_column(columns, choice.group)
    rows = _stratified(
        column(columns, pred, numeric=True),
        column(columns, true, numeric=True),
        {cut.name: column(columns, cut.name) for cut in choice.by},
        choice,
        weights=column(columns, weight, numeric=True) if weight else None,
        groups=number_groups(column(columns, group)) if group else None,
    )
    source = {"table": str(spec.path), "pred": pred, "true": true, "weight": weight}
    return {**source, "group": group, "rows": rows}


def _stratified(
    pred: np.ndarray,
    true: np.ndarray,
    columns: Mapping[str, np.ndarray],
    choice: Choice,
    **objects: np.ndarray | None,
) -> list[dict[str, Any]]:
    parts: dict[str, np.ndarray] = {}
    for cut in choice.by:
        parts |= strata.parts(cut.name, columns[cut.name], cut.edges)
    return strata.stratified(
        pred,
        true,
        names=choice.names,
        weights=objects["weights"],
        groups=objects["groups"],
        windows=choice.windows,
        strata=parts,
        grid=choice.grid,
        draws=choice.draws,
        seed=choice.seed,
    )


def _of_many(specs: Sequence[TableSpec], choice: Choice) -> dict[str, Any]:
    sides, tables = {}, []
    for spec in specs:
        sides[spec.name], described = _read(spec, choice)
        tables.append(described)
    _check_wanted(sides, choice)
    joined = join(sides, choice.tolerance)
    weights = joined.more.get(choice.weight) if choice.weight else None
    weights = None if weights is None else np.asarray(weights, np.float64)
    keep, unusable = _usable(joined, weights)
    if not keep.any():
        reasons = ", ".join(f"{count} {reason}" for reason, count in unusable.items())
        raise InputError(
            f"Wanted: objects that every table has a usable redshift of. Received: "
            f"none of {joined.ids.size} common ones ({reasons or 'no common id'}). "
            "Name other columns or tables."
        )
    for described in tables:
        described["left_out"] = joined.left_out[described["name"]]
    group = group_column(joined.more, choice.group)
    objects = {
        "weights": None if weights is None else weights[keep],
        "groups": number_groups(joined.more[group])[keep] if group else None,
    }
    return {
        "tables": tables,
        "common": int(joined.ids.size),
        "used": int(keep.sum()),
        "truths_differ": joined.truths_differ,
        "largest_difference_of_truths": joined.largest,
        "weight": choice.weight,
        "group": group,
        "rows": _rows(joined, keep, objects, unusable, choice),
        "differences": _differences(joined, keep, objects, choice),
    }


def _read(spec: TableSpec, choice: Choice) -> tuple[Side, dict[str, Any]]:
    """Returns a table to be joined, and what its columns are called."""
    name = spec.id or choice.id or ID
    columns = read_table(spec.path, text={name} | text_columns(choice))
    if name not in columns:
        raise InputError(
            "Wanted: --id COL, the column that several tables are joined on. "
            f"Received: {spec.path} without a column {name!r}; it has "
            f"{', '.join(columns)}."
        )
    own = [text for text in choice.where if text.partition("=")[0] in columns]
    columns = select(columns, own)
    check_one_run(columns, choice, str(spec.path))
    pred = predicted(columns, spec.pred or choice.pred)
    if pred is None:
        raise InputError(
            f"Wanted: --pred COL, or {spec.path}:pred=COL. Received columns: "
            f"{', '.join(columns)}."
        )
    # A table may leave the truth to another one.
    common = choice.true if choice.true in columns else None
    true = spec.true or (common if choice.true else reference(columns))
    side = Side(
        ids=columns[name],
        pred=column(columns, pred, numeric=True),
        true=None if true is None else column(columns, true, numeric=True),
        more=columns,
    )
    described = {"name": spec.name, "table": str(spec.path), "id": name, "pred": pred}
    return side, described | {"true": true, "rows": len(columns[name])}


def _check_wanted(sides: Mapping[str, Side], choice: Choice) -> None:
    """Raises if a column that an option names is in no table."""
    wanted = [text.partition("=")[0] for text in choice.where]
    wanted += [cut.name for cut in choice.by]
    wanted += filter(None, (choice.weight, choice.group, choice.true))
    held = {name for side in sides.values() for name in side.more}
    for name in wanted:
        if name not in held:
            raise unknown("column", name, held)


def _usable(
    joined: Joined, weights: np.ndarray | None
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns who can be scored in every table, and reason -> count of who cannot."""
    reasons = metrics.label_reasons(joined.truth)
    for name, pred in joined.preds.items():
        reasons[f"{name}: prediction non_finite"] = ~np.isfinite(pred)
        reasons[f"{name}: prediction ≤ −1"] = pred <= -1
    if weights is not None:
        bad = ~np.isfinite(weights) | (weights < 0)
        reasons["weight non_finite or negative"] = bad
    keep = ~np.any(list(reasons.values()), axis=0)
    counts = {reason: int(bad.sum()) for reason, bad in reasons.items()}
    return keep, {reason: count for reason, count in counts.items() if count}


def _rows(
    joined: Joined,
    keep: np.ndarray,
    objects: dict[str, np.ndarray | None],
    unusable: dict[str, int],
    choice: Choice,
) -> list[dict[str, Any]]:
    columns = {cut.name: joined.more[cut.name][keep] for cut in choice.by}
    rows = []
    for name, pred in joined.preds.items():
        truth = joined.truth[keep]
        for row in _stratified(pred[keep], truth, columns, choice, **objects):
            if row["stratum"] == "all":
                row["excluded"] = unusable
            rows.append({"table": name, **row})
    return rows


def _differences(
    joined: Joined,
    keep: np.ndarray,
    objects: dict[str, np.ndarray | None],
    choice: Choice,
) -> list[dict[str, Any]]:
    return [
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
        for metric in choice.names
        for window in choice.windows
        for (a, b), one in metrics.paired_differences(
            metric,
            {name: pred[keep] for name, pred in joined.preds.items()},
            joined.truth[keep],
            weights=objects["weights"],
            groups=objects["groups"],
            window=window,
            draws=choice.draws,
            seed=choice.seed,
        ).items()
    ]

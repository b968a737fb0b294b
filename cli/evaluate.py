"""`kphotoz evaluate`: metrics with errors for any table of redshifts."""

import contextlib
import csv
import io
import json

import click

from kphotoz_cli import options

# Our own column names; anything else must be named by the user, never guessed.
PREDICTED = "z_pred"
REFERENCES = ("z_true", "redshift", "z_label")


@click.command()
@click.argument("tables", nargs=-1, required=True, metavar="TABLE…")
@click.option("--true", "true", metavar="COL", help="Reference redshift column.")
@click.option("--pred", metavar="COL", help="Predicted redshift column.")
@click.option(
    "--id", "key", metavar="COL", help="Column that tables are joined on. [id]"
)
@click.option("--weight", metavar="COL", help="Deployment weight column.")
@click.option(
    "--group",
    metavar="COL",
    help="Column that is equal for rows of one object. [group, where there is one]",
)
@click.option("--window", metavar="LOW:HIGH", help="Redshift range, e.g. 0.3:1.5.")
@click.option(
    "--window-on",
    metavar="z_true|z_pred",
    help="Which redshift the window cuts on. [default: each in turn]",
)
@click.option(
    "--grid", metavar="LOW:HIGH", help="Count redshifts outside; they are still used."
)
@click.option(
    "--by",
    multiple=True,
    metavar="COL[:E0,E1,…]",
    help="Also in parts by this column: categories, given edges, or quartiles.",
)
@click.option(
    "--where", multiple=True, metavar="COL=VALUE", help="Only rows with this value."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-4,
    show_default=True,
    help="Up to which the truths of one object may differ between tables.",
)
@click.option("--metrics", "names", metavar="A,B", help="Metric names.")
@click.option("--draws", default=1000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@options.as_json
@options.out(None)
def command(tables, true, pred, key, window, window_on, names, **rest):
    """Metrics with bootstrap errors for a CSV, FITS or parquet TABLE, or for several.

    Predictions of kphotoz need no column names; any other table needs --true and
    --pred. dz = (z_pred − z_true)/(1 + z_true).

    Several tables are joined on an id and scored on the objects that all of them have,
    with paired differences. Columns that are called differently in one of them follow
    its path, as in A.csv:pred=zphot,true=zspec,id=objid,name=BPZ.
    """
    from kphotoz import metrics
    from kphotoz.files import check_output
    from kphotoz_cli import _evaluate_many as many
    from kphotoz_cli._table_spec import parse_all

    specs = parse_all(tables)
    if rest["out"] is not None:
        check_output(rest["out"], *(spec.path for spec in specs))
    choice = many.Choice(
        pred=pred,
        true=true,
        id=key,
        weight=rest["weight"],
        group=rest["group"],
        where=rest["where"],
        by=rest["by"],
        names=names.split(",") if names else metrics.DEFAULT,
        windows=_windows(window, window_on),
        grid=_range(rest["grid"]),
        tolerance=rest["tolerance"],
        draws=_at_least(0, "draws", rest["draws"]),
        seed=_at_least(0, "seed", rest["seed"]),
    )
    if len(specs) == 1:
        found = _single(specs[0], choice)
    else:
        found = many.evaluate(specs, choice, _select, _edges)
    _deliver(found, rest["as_json"], rest["out"])


def _single(spec, choice) -> dict:
    """Returns the names used in one table, and its rows."""
    from kphotoz.metrics import strata
    from kphotoz.metrics.groups import number_groups
    from kphotoz.tables import column, read_table
    from kphotoz_cli import _evaluate_many as many

    columns = _select(read_table(spec.path, text=many.grouping(choice)), choice.where)
    pred, true = spec.pred or choice.pred, spec.true or choice.true
    pred, true = _names(columns, pred, true, choice.by)
    cuts = {}
    for text in choice.by:
        name, _, edges = text.partition(":")
        cuts |= strata.parts(name, column(columns, name), _edges(edges))
    weight, group = choice.weight, many.group_column(columns, choice.group)
    rows = strata.stratified(
        column(columns, pred, numeric=True),
        column(columns, true, numeric=True),
        names=choice.names,
        weights=column(columns, weight, numeric=True) if weight else None,
        groups=number_groups(column(columns, group)) if group else None,
        windows=choice.windows,
        strata=cuts,
        grid=choice.grid,
        draws=choice.draws,
        seed=choice.seed,
    )
    source = {"table": str(spec.path), "pred": pred, "true": true, "weight": weight}
    return {**source, "group": group, "rows": rows}


def _select(columns, where):
    """Returns the rows for which every COL=VALUE holds."""
    import numpy as np

    from kphotoz.errors import InputError
    from kphotoz.tables import column

    for text in where:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"Wanted: --where COL=VALUE. Received: {text!r}.")
        held = column(columns, name)
        try:
            keep = held == _as_held(value, held.dtype.kind)
        except ValueError:
            keep = np.zeros(held.size, bool)
        if not keep.any():
            some = ", ".join(map(str, np.unique(held)[:8]))
            raise InputError(
                f"Wanted: a value that column {name!r} holds. Received: {value!r}. "
                f"It holds {some}{' …' if np.unique(held).size > 8 else ''}."
            )
        columns = {key: values[keep] for key, values in columns.items()}
    return columns


def _as_held(value: str, kind: str) -> str | bool | int | float:
    """Returns a value as columns of this kind of dtype hold it.

    Raises:
        ValueError: it is no number.
    """
    if kind in "UO":
        return value
    if kind == "b" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind in "iu":
        with contextlib.suppress(ValueError):
            return int(value)  # ids of 19 digits share a float64 with others
    return float(value)


def _names(columns, pred, true, by) -> tuple[str, str]:
    """Returns the two column names, ours where none is given."""
    import numpy as np

    from kphotoz.errors import InputError
    from kphotoz_cli._run_columns import check_one_run

    if pred is None and PREDICTED in columns:
        pred = PREDICTED
    if true is None:
        ours = [name for name in REFERENCES if name in columns]
        held = [name for name in ours if columns[name].dtype.kind == "f"]
        held = [name for name in held if np.isfinite(columns[name]).any()]
        true = (held or ours or [None])[0]
    lacking = [o for o, name in (("--pred", pred), ("--true", true)) if name is None]
    if lacking:
        raise InputError(
            f"Wanted: {' and '.join(lacking)}, since the table does not have kphotoz's "
            f"column names. Received columns: {', '.join(columns)}."
        )
    check_one_run(columns, {text.partition(":")[0] for text in by})
    return pred, true


def _edges(text: str) -> list[float] | None:
    from kphotoz.errors import InputError

    if not text:
        return None
    try:
        edges = [float(part) for part in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) < 2 or any(b <= a for a, b in zip(edges, edges[1:], strict=False)):
        raise InputError(
            f"Wanted: two or more ascending edges, as in --by magnitude:18,20,22. "
            f"Received: {text!r}."
        )
    return edges


def _windows(window: str | None, on: str | None) -> list:
    from kphotoz.errors import InputError
    from kphotoz.metrics import Window

    if window is None and on is not None:
        raise InputError(
            f"Wanted: --window LOW:HIGH beside --window-on. Received: only {on!r}."
        )
    if window is None:
        return [None]
    return [
        Window.parse(window, side) for side in ([on] if on else "z_true z_pred".split())
    ]


def _at_least(least: int, name: str, value: int) -> int:
    from kphotoz.errors import InputError

    if value < least:
        raise InputError(f"Wanted: --{name} of {least} or more. Received: {value}.")
    return value


def _range(text: str | None) -> tuple[float, float] | None:
    """Returns the two numbers of a text such as "0:4"."""
    from kphotoz.metrics import Window

    if text is None:
        return None
    found = Window.parse(text, "z_pred")
    return found.low, found.high


def _deliver(found, as_json, out) -> None:
    """Prints what was found, and writes it if `out` is given: .csv, otherwise JSON."""
    from kphotoz.files import write_json, write_text

    if out is not None and out.suffix == ".csv":
        write_text(out, _csv(found["rows"], found.get("differences", ())))
    elif out is not None:
        write_json(out, found)
    if as_json:
        click.echo(json.dumps(_no_nan(found), ensure_ascii=False))
        return
    from rich.console import Console

    from kphotoz.report import estimates_table, joined_tables

    console = Console()
    if "tables" in found:
        console.print(joined_tables(found))
    else:
        console.print(estimates_table(found, found["rows"]))


def _no_nan(value):
    if isinstance(value, dict):
        return {key: _no_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_no_nan(one) for one in value]
    return None if isinstance(value, float) and value != value else value


def _csv(rows, differences) -> str:
    """Returns a line for each row; differences follow, of `table` minus `minus`."""
    lines = [*rows]
    for one in differences:
        lines.append({**one, "table": one["a"], "minus": one["b"]})
    names = list(dict.fromkeys(name for line in lines for name in line))
    names = [name for name in names if name not in ("a", "b")]
    file = io.StringIO()
    writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
    writer.writeheader()
    for row in lines:
        flat = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()}
        writer.writerow(flat)
    return file.getvalue()

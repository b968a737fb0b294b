"""`kphotoz evaluate`: metrics with errors for any table of redshifts."""

import csv
import io
import json
import pathlib

import click

from kphotoz_cli import options

# Our own column names; anything else must be named by the user, never guessed.
PREDICTED = "z_pred"
REFERENCES = ("z_true", "redshift", "z_label")
# Columns that make several rows of one object in the predictions of a comparison.
RUN_COLUMNS = ("regime", "seed", "fraction", "sample")


@click.command()
@click.argument("table", type=click.Path(path_type=pathlib.Path))
@click.option("--true", "true", metavar="COL", help="Reference redshift column.")
@click.option("--pred", metavar="COL", help="Predicted redshift column.")
@click.option("--weight", metavar="COL", help="Deployment weight column.")
@click.option("--window", metavar="LOW:HIGH", help="Redshift range, e.g. 0.3:1.5.")
@click.option(
    "--window-on",
    metavar="z_true|z_pred",
    help="Which redshift the window cuts on. [default: each in turn]",
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
@click.option("--metrics", "names", metavar="A,B", help="Metric names.")
@click.option("--draws", default=1000, show_default=True, help="Bootstrap draws.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@options.as_json
@options.out(None)
def command(table, true, pred, weight, window, window_on, by, where, names, **rest):
    """Metrics with bootstrap errors for TABLE, a CSV, FITS or parquet file.

    Predictions of kphotoz need no column names; any other table needs --true and
    --pred. dz = (z_pred − z_true)/(1 + z_true).
    """
    from kphotoz import metrics
    from kphotoz.metrics import strata
    from kphotoz.tables import column, read_table

    columns = _select(read_table(table), where)
    pred, true = _names(columns, pred, true, by)
    cuts = {}
    for text in by:
        name, _, edges = text.partition(":")
        cuts |= strata.parts(name, column(columns, name), _edges(edges))
    rows = strata.stratified(
        column(columns, pred, numeric=True),
        column(columns, true, numeric=True),
        names=names.split(",") if names else metrics.DEFAULT,
        weights=column(columns, weight, numeric=True) if weight else None,
        windows=_windows(window, window_on),
        strata=cuts,
        draws=_at_least(0, "draws", rest["draws"]),
        seed=_at_least(0, "seed", rest["seed"]),
    )
    source = {"table": str(table), "pred": pred, "true": true, "weight": weight}
    _deliver(source, rows, rest["as_json"], rest["out"])


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
            keep = held == (value if held.dtype.kind in "UO" else float(value))
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


def _names(columns, pred, true, by) -> tuple[str, str]:
    """Returns the two column names, ours where none is given."""
    import numpy as np

    from kphotoz.errors import InputError

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
    if "regime" in columns and "seed" in columns:
        split = {text.partition(":")[0] for text in by}
        mixed = [name for name in RUN_COLUMNS if _several(columns, name)]
        if mixed := [name for name in mixed if name not in split]:
            raise InputError(
                "Wanted: one prediction an object. Received: a table that mixes "
                f"several values of {', '.join(mixed)}. Choose one, for example "
                f"--where {mixed[0]}={columns[mixed[0]][0]}."
            )
    return pred, true


def _several(columns, name) -> bool:
    import numpy as np

    return name in columns and np.unique(columns[name]).size > 1


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


def _deliver(source, rows, as_json, out) -> None:
    """Prints the rows, and writes them if `out` is given: .csv, otherwise JSON."""
    from kphotoz.files import write_json, write_text

    if out is not None and out.suffix == ".csv":
        write_text(out, _csv(rows))
    elif out is not None:
        write_json(out, {**source, "rows": rows})
    if as_json:
        click.echo(json.dumps({**source, "rows": _no_nan(rows)}, ensure_ascii=False))
        return
    from rich.console import Console

    from kphotoz.report import estimates_table

    Console().print(estimates_table(source, rows))


def _no_nan(rows):
    return [
        {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}
        for row in rows
    ]


def _csv(rows) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    for row in rows:
        flat = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()}
        writer.writerow(flat)
    return file.getvalue()

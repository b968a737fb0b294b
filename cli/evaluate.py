"""`kphotoz evaluate`: metrics with errors for any table of redshifts."""

import csv
import io
import json
import pathlib
from collections.abc import Iterable

import click

from kphotoz_cli import options


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
    from kphotoz import evaluation, metrics
    from kphotoz.files import check_output

    specs = evaluation.parse_tables(tables)
    if rest["out"] is not None:
        check_output(rest["out"], *(spec.path for spec in specs))
    choice = evaluation.Choice(
        pred=pred,
        true=true,
        id=key,
        weight=rest["weight"],
        group=rest["group"],
        where=rest["where"],
        by=[evaluation.Cut.parse(text) for text in rest["by"]],
        names=names.split(",") if names else metrics.DEFAULT,
        windows=_windows(window, window_on),
        grid=_range(rest["grid"]),
        tolerance=rest["tolerance"],
        draws=_at_least(0, "draws", rest["draws"]),
        seed=_at_least(0, "seed", rest["seed"]),
    )
    _deliver(evaluation.evaluate(specs, choice), rest["as_json"], rest["out"])


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
    window = Window.parse(text, "z_pred")
    return window.low, window.high


def _deliver(results: dict, as_json: bool, out: pathlib.Path | None) -> None:
    """Prints the results, and writes it if `out` is given: .csv, otherwise JSON."""
    from kphotoz.files import plain, write_json, write_text

    if out is not None and out.suffix == ".csv":
        write_text(out, _csv(results["rows"], results.get("differences", ())))
    elif out is not None:
        write_json(out, results)
    if as_json:
        click.echo(json.dumps(plain(results), ensure_ascii=False))
        return
    from rich.console import Console

    from kphotoz.report import estimates_table, joined_tables

    console = Console()
    if "tables" in results:
        console.print(joined_tables(results))
    else:
        console.print(estimates_table(results, results["rows"]))


def _csv(rows: Iterable[dict], differences: Iterable[dict]) -> str:
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

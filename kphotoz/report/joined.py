"""The tables of `kphotoz evaluate` for several tables of predictions."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kphotoz.metrics.point import improves
from kphotoz.report.content import excluded
from kphotoz.report.style import DZ, definition, heading, number
from kphotoz.report.terminal_tables import counted_words, drawn_words, plain_table

__all__ = ["joined_tables"]


def joined_tables(result: Mapping[str, Any]) -> RenderableType:
    """Returns what was joined, metrics table by table, and paired differences.

    Args:
        found: dict as `kphotoz evaluate A B --json` prints it.
    """
    parts: list[RenderableType] = [_sources(result), Text()]
    parts += [_metrics(result), Text(), _differences(result), Text()]
    names = dict.fromkeys(row["metric"] for row in result["rows"])
    lines = [f"{DZ}.", *(f"{name}: {definition(name)}" for name in names)]
    lines.append(drawn_words(result.get("group")))
    parts.append(Text("\n".join(lines), style="dim"))
    return Group(*parts)


def _sources(result: Mapping[str, Any]) -> Table:
    note = (
        f"{result['common']:,} objects in every table, {result['used']:,} usable in all"
    )
    if result["truths_differ"]:
        note += (
            f"; {result['truths_differ']:,} have truths that differ, by up to "
            f"{result['largest_difference_of_truths']:.2g}: those of the first table "
            "that knows one are used"
        )
    table = plain_table("Tables", note)
    for name in ("name", "table", "id", "predicted", "reference"):
        table.add_column(name)
    table.add_column("rows", justify="right")
    table.add_column("left out")
    for one in result["tables"]:
        names = [one["name"], one["table"], one["id"], one["pred"], one["true"] or "—"]
        left_out = excluded(one["left_out"])
        table.add_row(*map(Text, names), f"{one['rows']:,}", Text(left_out))
    return table


def _metrics(result: Mapping[str, Any]) -> Table:
    groups: dict[tuple, list] = {}
    for row in result["rows"]:
        place = row["stratum"], row["window"], row["table"]
        groups.setdefault(place, []).append(row)
    names = list(dict.fromkeys(row["metric"] for row in result["rows"]))
    whole = [row for row in result["rows"] if row["stratum"] == "all"]
    keys = ("excluded", "flagged", "note")
    note = counted_words(*([row[key] for row in whole] for key in keys))
    table = plain_table("On the common objects", note)
    for name in ("part", "window", "table"):
        table.add_column(name)
    table.add_column("N", justify="right")
    for name in names:
        table.add_column(Text(heading(name)), justify="right")
    # All tables of one part side by side, since that is what is compared.
    places = dict.fromkeys((part, window) for part, window, _ in groups)
    for part, window in places:
        for one in result["tables"]:
            line = groups[part, window, one["name"]]
            cells = [number(row["metric"], row["value"], row["error"]) for row in line]
            size = f"{line[0]['n']:,}"
            table.add_row(Text(part), window or "all", Text(one["name"]), size, *cells)
    return table


def _differences(result: Mapping[str, Any]) -> Table:
    note = "; ".join(dict.fromkeys(one["note"] for one in result["differences"]))
    table = plain_table("Paired differences", f"{note}. Biases by their size")
    for name in ("a", "b", "metric", "window"):
        table.add_column(name)
    table.add_column("a − b", justify="right")
    table.add_column("verdict")
    for one in result["differences"]:
        shown = number(one["metric"], one["value"], one["error"])
        names = Text(one["a"]), Text(one["b"]), Text(heading(one["metric"]))
        verdict = Text(_verdict(one))
        style = "" if one["beyond_2_errors"] else "dim"
        table.add_row(*names, one["window"] or "all", shown, verdict, style=style)
    return table


def _verdict(one: Mapping[str, Any]) -> str:
    if not one["beyond_2_errors"]:
        return "within 2 errors"
    side = "a" if improves(one["metric"], one["value"]) else "b"
    return f"{one[side]} better"

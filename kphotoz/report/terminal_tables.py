"""The comparison as a terminal table and as CSV; a table of single estimates."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kphotoz.files import write_text
from kphotoz.metrics.point import improves
from kphotoz.report.content import Content, excluded
from kphotoz.report.rows import Cost, Pair, Row
from kphotoz.report.style import DZ, definition, heading, number, sample_words

__all__ = ["estimates_table", "terminal_table", "write_csv"]

CSV_COLUMNS = (
    "regime fraction n_labels sample truth metric value error n excluded seeds "
    "window flagged note by stratum"
).split()


def terminal_table(comparison: Mapping[str, Any]) -> RenderableType:
    """Returns the tables of a comparison for `rich`: deployment first, then costs.

    Args:
        comparison: dict as in comparison.json.
    """
    content = Content(comparison)
    remarks = content.raw.get("remarks") or []
    parts: list[RenderableType] = [Text(remark) for remark in remarks]
    parts += [Text()] if remarks else []
    for sample, truth in content.cases:
        parts += [_metrics(content, sample, truth), Text()]
    if content.costs:
        parts += [_costs(content), Text()]
    if content.differences:
        parts += [_differences(content), Text()]
    parts.append(_legend(content))
    return Group(*parts)


def plain_table(title: str, note: str = "") -> Table:
    """Returns an empty table in the house style, with a title and a note below."""
    caption = Text(note, style="dim") if note else None
    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _metrics(content: Content, sample: str, truth: str) -> Table:
    rows = {
        regime: [content.row(regime, sample, truth, m) for m in content.metrics]
        for regime in content.regimes
    }
    held = [row for line in rows.values() for row in line if row]
    counts = sorted({row.n for row in held})
    size = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    note = counted(held)
    table = plain_table(f"{sample_words(sample, truth)}: N = {size}", note)
    table.add_column("regime")
    table.add_column("labels", justify="right")
    for metric in content.metrics:
        table.add_column(Text(heading(metric)), justify="right")
    for regime, line in rows.items():
        first = next((row for row in line if row), None)
        if first is None:
            continue
        labels = first.n_labels
        cells = [_cell(metric, row) for metric, row in zip(content.metrics, line)]  # noqa: B905
        table.add_row(Text(regime), "" if labels is None else f"{labels:,}", *cells)
    return table


def counted(rows: Sequence[Row]) -> str:
    """Returns what was left out of rows and what is odd in them, in words."""
    return counted_words(
        (row.excluded for row in rows),
        (row.flagged for row in rows),
        (row.note for row in rows),
    )


def counted_words(
    left_out: Iterable[Mapping[str, int]],
    flagged: Iterable[Mapping[str, int]],
    notes: Iterable[str],
) -> str:
    """Returns counts by reason, of those left out and of those used, and notes."""
    words = []
    for counts, said in ((left_out, "excluded: "), (flagged, "used, but ")):
        distinct = sorted({excluded(one) for one in counts} - {""})
        words += [f"{said}{'; '.join(distinct)}"] if distinct else []
    return ". ".join(words + sorted({*notes} - {""}))


def _cell(metric: str, row: Row | None) -> str:
    return number(metric, row.value, row.error) if row else ""


def _costs(content: Content) -> Table:
    table = plain_table("Cost of one model")
    table.add_column("regime")
    for name in ("labels used", "trainable", "stored", "examples seen", "s", "GiB"):
        table.add_column(name, justify="right")
    for cost in content.costs:
        if cost.fraction == content.largest(cost.regime):
            table.add_row(Text(cost.regime), *cost_cells(cost))
    return table


def cost_cells(cost: Cost) -> list[str]:
    """Returns the cells of a cost: fraction, parameters, size, examples, s, GiB."""
    fraction = cost.fraction or 0
    return [
        f"{fraction:.0%}" if fraction >= 0.1 or not fraction else f"{fraction:.1%}",
        _count(cost.trainable_parameters),
        size_words(cost.stored_bytes),
        _count(cost.examples_seen),
        _decimals(cost.seconds, 1),
        _decimals(cost.peak_memory_gib, 2),
    ]


def _count(value: float | None) -> str:
    return "" if value is None else f"{int(value):,}"


def _decimals(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def size_words(value: float | None) -> str:
    """Returns bytes as B, kB or MB, decimal."""
    if value is None:
        return ""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{int(value)} B"


def headline_differences(content: Content) -> list[Pair]:
    """Returns the differences on the deployment sample at the largest fraction.

    All samples' if there is no deployment sample.
    """
    first = content.cases[0] if content.cases else None
    chosen = [d for d in content.differences if (d.sample, d.truth) == first]
    chosen = chosen or content.differences
    top = max((d.fraction or 0.0 for d in chosen), default=0.0)
    return [d for d in chosen if (d.fraction or 0.0) == top]


def verdict(pair: Pair) -> str:
    """Returns which side is better, or that it is not resolved."""
    if not pair.resolved:
        return "not resolved"
    return f"{pair.a if improves(pair.metric, pair.value) else pair.b} better"


def against_best(content: Content) -> list[Pair]:
    """Returns the headline differences of the first regime from each other one."""
    chosen = headline_differences(content)
    if not chosen:
        return []
    ranked = content.ranked(chosen[0].sample, chosen[0].truth)
    if not ranked:
        return []
    return [d.turned(ranked[0]) for d in chosen if ranked[0] in d.sides]


def _differences(content: Content) -> Table:
    chosen = against_best(content) or headline_differences(content)
    words = sample_words(chosen[0].sample, chosen[0].truth)
    note = (
        "resolved: |difference| > 2 errors, same objects, five seeds or more; "
        f"{sum(not d.resolved for d in chosen)} of {len(chosen)} not resolved"
    )
    table = plain_table(f"Paired differences from the first, on {words}", note)
    for name in ("a", "b"):
        table.add_column(name)
    table.add_column("metric")
    table.add_column("a − b", justify="right")
    table.add_column("verdict")
    for one in chosen:
        shown = number(one.metric, one.value, one.error)
        style = "" if one.resolved else "dim"
        names = (Text(one.a), Text(one.b), heading(one.metric))
        table.add_row(*names, shown, Text(verdict(one)), style=style)
    return table


def _legend(content: Content) -> Text:
    lines = [f"{DZ}. Window: {content.window}."]
    lines += [f"{name}: {definition(name)}" for name in content.metrics]
    return Text("\n".join(lines), style="dim")


def write_csv(comparison: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Writes every row and stratum of a comparison, unrounded, one line a number.

    Args:
        comparison: dict as in comparison.json.
        path: file to write. NaN is an empty field, and so is the window of all
            redshifts; exclusions and flags are words.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    content = Content(comparison)
    for row in [*content.rows, *content.strata]:
        words = {"excluded": excluded(row.excluded), "flagged": excluded(row.flagged)}
        values = row.as_dict() | words
        cells = [values.get(name) for name in CSV_COLUMNS]
        writer.writerow(["" if c is None or c != c else c for c in cells])
    write_text(path, file.getvalue())


def estimates_table(
    source: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> RenderableType:
    """Returns the table of `kphotoz evaluate`.

    Args:
        source: dict with "table", "pred", "true", "weight" and "group", the names used.
        rows: dicts of `metrics.stratified`.
    """
    weighted = f", weighted by {source['weight']}" if source.get("weight") else ""
    title = f"{source['pred']} against {source['true']}{weighted}: {source['table']}"
    table = plain_table(title)
    names = list(dict.fromkeys(row["metric"] for row in rows))
    for name in ("part", "window"):
        table.add_column(name)
    columns = 2 if any(0 < row["n_effective"] != row["n"] for row in rows) else 1
    for name in ["N", "N_eff"][:columns]:
        table.add_column(name, justify="right")
    for name in names:
        table.add_column(Text(heading(name)), justify="right")
    parts: dict[tuple, list] = {}
    for row in rows:
        parts.setdefault((row["stratum"], row["window"]), []).append(row)
    remarks = []
    for (part, window), line in parts.items():
        first = line[0]
        sizes = [f"{first['n']:,}", f"{first['n_effective']:,.0f}"]
        cells = [number(row["metric"], row["value"], row["error"]) for row in line]
        sizes = sizes[:columns]
        table.add_row(Text(part), window or "all", *sizes, *cells)
        if _remarks(first):
            where = f", {window}" if window else ""
            remarks.append(f"{part}{where}: {_remarks(first)}.")
    lines = [*remarks, f"{DZ}.", *(f"{name}: {definition(name)}" for name in names)]
    lines.append(drawn_words(source.get("group")))
    return Group(table, Text("\n".join(lines), style="dim"))


def drawn_words(group: str | None) -> str:
    """Returns what errors of `kphotoz evaluate` are; `group` is the column of objects.

    Args:
        group: str or None.
    """
    together = f", rows of one {group!r} together" if group else ""
    return f"±: half the 15.8 to 84.1 % range of the bootstrap over objects{together}."


def _remarks(row: Mapping[str, Any]) -> str:
    parts = [row["note"]] if row["note"] else []
    if row["excluded"]:
        parts.append(f"excluded: {excluded(row['excluded'])}")
    if row["flagged"]:
        parts.append(f"used, but {excluded(row['flagged'])}")
    return "; ".join(parts)

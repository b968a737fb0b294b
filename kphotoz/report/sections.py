"""Parts of the page that a comparison may lack: windows, strata, published numbers."""

from kphotoz.report.content import Content, window_words
from kphotoz.report.markup import (
    details,
    escaped,
    html_table,
    regime_cell,
    value_cell,
)
from kphotoz.report.published import Line, PublishedTable, published_tables
from kphotoz.report.rows import Pair
from kphotoz.report.style import factor, heading, number, sample_words
from kphotoz.report.terminal_tables import counted, verdict

__all__ = ["floor_rows", "other_windows", "published", "strata"]


def floor_rows(content: Content, sample: str) -> list[list[str]]:
    """Returns the row of the labels themselves, if they are known not to be exact."""
    floors = [content.floors.get((sample, metric)) for metric in content.metrics]
    if not any(floors):
        return []
    words = '<span class="regime dim">the labels themselves</span>'
    return [[words, "", *(value_cell(one) for one in floors)]]


def other_windows(content: Content, sample: str, truth: str) -> str:
    """Returns the table of a sample in every window after the headline's."""
    parts = []
    for window in content.windows[1:]:
        rows, held = [], []
        for regime in content.regimes:
            line = [
                content.row(regime, sample, truth, metric, window=window)
                for metric in content.metrics
            ]
            if any(line):
                held += [row for row in line if row]
                values = [value_cell(row) for row in line]
                n = next(row.n for row in line if row)
                rows.append([regime_cell(content, regime), f"{n:,}", *values])
        if not rows:
            continue
        head = ["regime", "N", *(escaped(heading(name)) for name in content.metrics)]
        words = counted(held)
        note = f'<p class="dim">Counted: {escaped(words)}.</p>' if words else ""
        inner = note + html_table(head, rows)
        parts.append(details(f"In the window {window_words(window)}", inner))
    return "".join(parts)


def strata(content: Content) -> str:
    """Returns the headline metric and outliers in parts of the samples."""
    if not content.strata:
        return ""
    places = dict.fromkeys((r.sample, r.truth, r.by) for r in content.strata)
    parts = []
    for place, (sample, truth, by) in enumerate(places):
        title = f"{by}: {sample_words(sample, truth)}"
        inner = _stratum_table(content, sample, truth, by or "")
        # The deployment sample is what a reader came for.
        shown = f"<h3>{escaped(title)}</h3>{inner}" if not place else None
        parts.append(shown or details(title, inner))
    return (
        "<h2>By magnitude, colour and origin</h2>"
        f'<p class="dim">{escaped(heading(content.headline))} at the largest label '
        f"count; window: {escaped(content.window)}. The last column pairs, by object "
        "and seed, the network and the forest that are best on the whole sample. "
        "Every metric of every part stands in comparison.csv.</p>" + "".join(parts)
    )


def _stratum_table(content: Content, sample: str, truth: str, by: str) -> str:
    here = [
        row
        for row in content.strata
        if (row.sample, row.truth, row.by) == (sample, truth, by)
        and row.metric == content.headline
    ]
    cells = {(row.stratum, row.regime): row for row in here}
    regimes = [name for name in content.regimes if any(k[1] == name for k in cells)]
    pairs = {
        one.stratum: one
        for one in content.strata_differences
        if (one.sample, one.truth, one.by) == (sample, truth, by)
    }
    rows = []
    for stratum in dict.fromkeys(row.stratum for row in here):
        size = max(row.n for row in here if row.stratum == stratum)
        line = [value_cell(cells.get((stratum, name))) for name in regimes]
        cells_of = [escaped(stratum), f"{size:,}", *line]
        rows.append(cells_of + ([_pair(pairs.get(stratum))] if pairs else []))
    head = ["part", "N", *(regime_cell(content, name) for name in regimes)]
    return html_table(head + (["network − forest"] if pairs else []), rows)


def _pair(one: Pair | None) -> str:
    if one is None:
        return ""
    shown = escaped(number(one.metric, one.value, one.error))
    sides = escaped(f"{one.a} − {one.b}: {verdict(one)}")
    tag = "strong" if one.resolved else 'span class="dim"'
    return f'<{tag} title="{sides}">{shown}</{tag.split()[0]}>'


def published(content: Content) -> str:
    """Returns the published numbers, beside ours wherever ours exist."""
    parts = []
    for table in published_tables(content):
        trust = f'<p class="dim">{escaped(table.note)}</p>' if table.note else ""
        parts.append(f"<h3>{escaped(table.title)}</h3>{trust}{_published(table)}")
    if not parts:
        return ""
    return "<h2>Beside the published numbers</h2>" + "".join(parts)


def _published(table: PublishedTable) -> str:
    if table.plain:
        head = list(dict.fromkeys(key for row in table.plain for key in row))
        rows = [[escaped(row.get(key)) for key in head] for row in table.plain]
        return html_table([escaped(key) for key in head], rows, text=len(head))
    head = ["regime", "metric", "labels used"]
    for sample in table.samples:
        head += [f"{escaped(sample)}: ours", "published"]
    head += ["trust"] if any(line.trust for line in table.lines) else []
    rows = [_published_row(table, line, "trust" in head) for line in table.lines]
    return html_table(head, rows, text=3)


def _published_row(table: PublishedTable, line: Line, trust: bool) -> list[str]:
    cells = [escaped(line.regime), escaped(heading(line.metric)), escaped(line.labels)]
    for sample in table.samples:
        cells.append(value_cell(line.ours.get(sample)))
        value = line.published.get(sample)
        if isinstance(value, int | float):
            value = f"{value * factor(line.metric):.4g}"
        cells.append(escaped(value))
    return cells + ([escaped(line.trust)] if trust else [])

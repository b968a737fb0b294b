"""The report as one page that needs no other file and runs no script."""

import base64
import json
import os
import pathlib
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from kphotoz.errors import InputError
from kphotoz.files import write_text
from kphotoz.report.content import Content
from kphotoz.report.figures import CAPTIONS
from kphotoz.report.markup import (
    details,
    escaped,
    html_table,
    regime_cell,
    value_cell,
)
from kphotoz.report.rows import Pair
from kphotoz.report.sections import floor_rows, other_windows, published, strata
from kphotoz.report.style import DZ, definition, heading, number, sample_words
from kphotoz.report.terminal_tables import (
    cost_cells,
    counted,
    headline_differences,
    verdict,
)
from kphotoz.untrusted import parse_json

__all__ = ["write_html"]

_TITLES = {
    "bars": "Regimes and samples",
    "redshifts": "Predicted against reference redshift",
    "redshifts_both": "Predicted against reference redshift, both samples",
    "trends": "Trends",
    "forgetting": "Forgetting",
    "fractions": "How many labels?",
    "costs": "Accuracy and cost",
}


def write_html(
    comparison: Mapping[str, Any],
    figure_paths: Sequence[str | os.PathLike],
    path: str | os.PathLike,
) -> None:
    """Writes one self-contained page: figures inside, everything escaped.

    Args:
        comparison: dict as in comparison.json; parts may be missing.
        figure_paths: PNG files; captions are read from captions.json beside them.
        path: the page to write.

    Raises:
        InputError: a figure cannot be read.
    """
    content = Content(comparison)
    sections = [
        _sentences(content, "remarks"),
        _sentences(content, "notes"),
        *(_results(content, *case) for case in content.cases),
        _definitions(content),
        _figures(figure_paths),
        _differences(content),
        strata(content),
        _all_fractions(content),
        _costs(content),
        published(content),
        details("Regimes", _described(content)),
        _licences(content),
        details("Recipe, with every default", _json(content.raw.get("recipe"))),
        details("Environment", _environment(content)),
    ]
    page = string.Template(_part("page.html")).substitute(
        title=escaped(content.text("title", "Comparison")),
        css=_part("page.css"),
        facts=_facts(content),
        answer=escaped(content.text("answer", "No answer was recorded.")),
        body="\n".join(filter(None, sections)),
    )
    write_text(path, page)


def _part(name: str) -> str:
    return resources.files("kphotoz.report").joinpath(name).read_text("utf-8")


def _facts(content: Content) -> str:
    facts = []
    if content.text("command"):
        facts.append(f"<code>{escaped(content.text('command'))}</code>")
    if content.raw.get("seeds"):
        seeds = content.raw["seeds"]
        facts.append(f"{escaped(seeds)} seed{'s' if seeds != 1 else ''}")
    facts.append(f"window: {escaped(content.window)}")
    return " · ".join(facts)


def _sentences(content: Content, part: str) -> str:
    items = "".join(f"<li>{escaped(one)}</li>" for one in content.raw.get(part) or [])
    return f"<ul>{items}</ul>" if items else ""


def _results(content: Content, sample: str, truth: str) -> str:
    rows, held = [], []
    for regime in content.regimes:
        line = [content.row(regime, sample, truth, m) for m in content.metrics]
        first = next((row for row in line if row), None)
        if first is None:
            continue
        held += [row for row in line if row]
        labels = first.n_labels
        cells = [regime_cell(content, regime), "" if labels is None else f"{labels:,}"]
        rows.append(cells + [value_cell(row) for row in line])
    if truth == "z_true":
        rows += floor_rows(content, sample)
    words = content.samples.get(sample, {}).get("description", "")
    sizes = [row.n for row in held] or [0]
    size = " to ".join(f"{n:,}" for n in sorted({min(sizes), max(sizes)}))
    note = f"N = {size}; window: {escaped(content.window)}."
    note += f" Sample: {escaped(words)}." if words else ""
    note += f" Counted: {escaped(counted(held))}." if counted(held) else ""
    head = ["regime", "labels", *(escaped(heading(name)) for name in content.metrics)]
    title = escaped(sample_words(sample, truth)).capitalize()
    inner = html_table(head, rows) + other_windows(content, sample, truth)
    return f'<h2>{title}</h2><p class="dim">{note}</p>{inner}'


def _definitions(content: Content) -> str:
    items = [f"<li>{escaped(DZ)}; window: {escaped(content.window)}</li>"]
    items += [
        f"<li><code>{escaped(name)}</code>: {escaped(definition(name))}</li>"
        for name in content.metrics
    ]
    items.append(
        "<li>±: half the 15.8 to 84.1 % range of a bootstrap over objects and training "
        "seeds; a rate of zero carries the Poisson limit 1.84/N. Each regime is shown "
        "at its largest label count.</li>"
    )
    return details("Definitions", f"<ul>{''.join(items)}</ul>")


def _figures(paths: Sequence[str | os.PathLike]) -> str:
    parts = []
    for path in map(pathlib.Path, paths):
        title = _TITLES.get(path.stem, path.stem.replace("bars_", "Regimes: "))
        caption = _caption(path)
        try:
            image = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise InputError(
                f"Wanted: the figure {path}. Received: {error.strerror}. "
                "Write the figures again."
            ) from error
        words = f"{escaped(title)}. {escaped(caption)}"
        parts.append(
            f'<figure><h3>{escaped(title)}</h3><div class="sheet"><img alt="{words}" '
            f'src="data:image/png;base64,{image}"></div>'
            f"<figcaption>{escaped(caption)}</figcaption></figure>"
        )
    return "<h2>Figures</h2>" + "".join(parts) if parts else ""


def _caption(path: pathlib.Path) -> str:
    try:
        words = parse_json((path.parent / CAPTIONS).read_bytes())
    except (OSError, ValueError):
        return ""  # a figure of another origin
    return str(words.get(path.name, "")) if isinstance(words, dict) else ""


def _differences(content: Content) -> str:
    chosen = headline_differences(content)
    if not chosen:
        return ""
    words = sample_words(chosen[0].sample, chosen[0].truth)
    return (
        f"<h2>Paired differences: {escaped(words)}</h2>"
        '<p class="dim">The same objects and seeds on both sides. An ordering is '
        "resolved if the difference exceeds two errors and there are five seeds or "
        "more. Each cell is the regime of its row minus that of its column; grey is "
        "not resolved. Best first.</p>"
        + _matrix(content, chosen)
        + details(
            "Differences on every sample",
            _difference_table(
                content, [*content.differences, *content.more_differences]
            ),
        )
    )


def _matrix(content: Content, chosen: Sequence[Pair]) -> str:
    """Returns the differences as a triangle of regimes, best first."""
    ranked = content.ranked(chosen[0].sample, chosen[0].truth)
    names = ranked + [name for name in content.regimes if name not in ranked]
    sides = {name for one in chosen for name in one.sides}
    names = [name for name in names if name in sides]
    pairs = {one.sides: one for one in chosen}
    rows = []
    for i, row in enumerate(names[1:], 1):
        cells = [regime_cell(content, row)]
        for j, column in enumerate(names[:-1]):
            one = pairs.get(frozenset((row, column))) if j < i else None
            cells.append(_difference_cell(one, row) if one else "")
        rows.append(cells)
    head = ["", *(regime_cell(content, name) for name in names[:-1])]
    return html_table(head, rows)


def _difference_cell(one: Pair, row: str) -> str:
    one = one.turned(row)
    text = escaped(number(one.metric, one.value, one.error))
    if one.resolved:
        return f"<strong>{text}</strong>"
    return f'<span class="dim" title="not resolved">{text}</span>'


def _difference_table(content: Content, chosen: Sequence[Pair]) -> str:
    head = ["a", "b", "sample", "verdict", "labels used", "metric", "a − b"]
    rows = []
    for one in chosen:
        rows.append(
            [
                regime_cell(content, one.a),
                regime_cell(content, one.b),
                escaped(sample_words(one.sample, one.truth)),
                escaped(verdict(one)),
                f"{one.fraction or 0:.0%}",
                escaped(heading(one.metric)),
                escaped(number(one.metric, one.value, one.error)),
            ]
        )
    return html_table(head, rows, text=4)


def _all_fractions(content: Content) -> str:
    if max((len(content.fractions(name)) for name in content.regimes), default=0) < 2:
        return ""
    crossover = content.raw.get("crossover") or {}
    head = ["regime", "sample", "labels used", "labels"]
    head += [escaped(heading(name)) for name in content.metrics]
    rows = []
    for sample, truth in content.cases:
        for regime in content.regimes:
            for fraction in content.fractions(regime):
                line = [
                    content.row(regime, sample, truth, m, fraction)
                    for m in content.metrics
                ]
                labels = next((r.n_labels for r in line if r), None)
                cells = [
                    regime_cell(content, regime),
                    escaped(sample_words(sample, truth)),
                ]
                cells += [
                    f"{fraction or 0:.1%}",
                    "" if labels is None else f"{labels:,}",
                ]
                rows.append(cells + [value_cell(row) for row in line])
    words = f"<p>{escaped(crossover['text'])}</p>" if crossover.get("text") else ""
    inner = html_table(head, rows, text=2)
    return f"<h2>Label fractions</h2>{words}{details('Every label fraction', inner)}"


def _costs(content: Content) -> str:
    if not content.costs:
        return ""
    head = ["regime", "labels used", "trainable parameters", "stored"]
    head += ["examples seen", "time [s]", "peak memory [GiB]"]
    rows = [
        [regime_cell(content, cost.regime), *map(escaped, cost_cells(cost))]
        for cost in content.costs
    ]
    return f"<h2>Cost of one model</h2>{html_table(head, rows)}"


def _described(content: Content) -> str:
    rows = [[regime_cell(content, k), escaped(v)] for k, v in content.described.items()]
    return html_table(["regime", "what it does"], rows, text=2) if rows else ""


def _licences(content: Content) -> str:
    rows = [
        [escaped(one.get(key)) for key in ("survey", "licence", "acknowledgement")]
        for one in content.raw.get("licences") or []
    ]
    head = ["survey", "licence", "acknowledgement"]
    return (
        "<h2>Data: licences and acknowledgements</h2>" + html_table(head, rows, text=3)
        if rows
        else ""
    )


def _environment(content: Content) -> str:
    facts = content.raw.get("environment") or {}
    rows = []
    for key, value in facts.items():
        plain = isinstance(value, str | int | float)
        text = value if plain else json.dumps(value, ensure_ascii=False, default=str)
        rows.append([escaped(key), escaped(text)])
    return html_table(["", ""], rows, text=2) if rows else ""


def _json(value: Any) -> str:
    if not value:
        return ""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return f"<pre>{escaped(text)}</pre>"

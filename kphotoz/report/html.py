"""The report as one page that needs no other file and runs no script."""

import base64
import html
import json
import os
import pathlib
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from kphotoz.errors import InputError
from kphotoz.files import write_text
from kphotoz.report.content import Content, excluded
from kphotoz.report.figures import CAPTIONS
from kphotoz.report.style import (
    DZ,
    definition,
    heading,
    look,
    number,
    sample_words,
)
from kphotoz.report.tables import cost_cells, headline_differences, turned, verdict

__all__ = ["write_html"]

_TITLES = {
    "bars": "Regimes and samples",
    "redshifts": "Predicted against reference redshift",
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
        _notes(content),
        *(_results(content, *case) for case in content.cases),
        _definitions(content),
        _figures(figure_paths),
        _differences(content),
        _all_fractions(content),
        _costs(content),
        _published(content),
        _details("Regimes", _described(content)),
        _licences(content),
        _details("Recipe, with every default", _json(content.raw.get("recipe"))),
        _details("Environment", _json(content.raw.get("environment"))),
    ]
    page = string.Template(_part("page.html")).substitute(
        title=_e(content.text("title", "Comparison")),
        css=_part("page.css"),
        facts=_facts(content),
        answer=_e(content.text("answer", "No answer was recorded.")),
        body="\n".join(filter(None, sections)),
    )
    write_text(path, page)


def _part(name: str) -> str:
    return resources.files("kphotoz.report").joinpath(name).read_text("utf-8")


def _e(value: Any) -> str:
    return html.escape("" if value is None else str(value), quote=True)


def _facts(content: Content) -> str:
    facts = []
    if content.text("command"):
        facts.append(f"<code>{_e(content.text('command'))}</code>")
    if content.raw.get("seeds"):
        facts.append(f"{_e(content.raw['seeds'])} seeds")
    facts.append(f"window: {_e(content.window)}")
    return " · ".join(facts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """Returns a table of escaped cells, the first `text` columns left-aligned."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["" if i < text else ' class="n"' for i in range(len(cells))]
        return "".join(
            f"<{tag}{kind}>{cell}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{line(head, "th")}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _regime(content: Content, name: str) -> str:
    colour, _ = look(name, content.regimes)
    swatch = f'<span class="swatch" style="background:{colour}"></span>'
    return f'<span class="regime">{swatch}{_e(name)}</span>'


def _notes(content: Content) -> str:
    items = "".join(f"<li>{_e(note)}</li>" for note in content.raw.get("notes") or [])
    return f"<ul>{items}</ul>" if items else ""


def _results(content: Content, sample: str, truth: str) -> str:
    rows, sizes, left_out = [], set(), set()
    for regime in content.regimes:
        line = [content.row(regime, sample, truth, m) for m in content.metrics]
        first = next((row for row in line if row), None)
        if first is None:
            continue
        sizes |= {row["n"] for row in line if row}
        left_out |= {excluded(row.get("excluded")) for row in line if row} - {""}
        labels = first.get("n_labels")
        cells = [_regime(content, regime), "" if labels is None else f"{labels:,}"]
        rows.append(cells + [_cell(row) for row in line])
    words = content.samples.get(sample, {}).get("description", "")
    size = " to ".join(f"{n:,}" for n in sorted({min(sizes), max(sizes)}))
    note = f"N = {size}." + (f" Sample: {_e(words)}." if words else "")
    if left_out:
        note += f" Excluded: {_e('; '.join(sorted(left_out)))}."
    head = ["regime", "labels", *(_e(heading(name)) for name in content.metrics)]
    title = _e(sample_words(sample, truth)).capitalize()
    return f'<h2>{title}</h2><p class="dim">{note}</p>{_table(head, rows)}'


def _cell(row: Mapping[str, Any] | None) -> str:
    return _e(number(row["metric"], row["value"], row["error"])) if row else ""


def _definitions(content: Content) -> str:
    items = [f"<li>{_e(DZ)}; window: {_e(content.window)}</li>"]
    items += [
        f"<li><code>{_e(name)}</code>: {_e(definition(name))}</li>"
        for name in content.metrics
    ]
    items.append(
        "<li>±: half the 15.8 to 84.1 % range of a bootstrap over objects and training "
        "seeds; a rate of zero carries the Poisson limit 1.84/N. Each regime is shown "
        "at its largest label count.</li>"
    )
    return _details("Definitions", f"<ul>{''.join(items)}</ul>")


def _figures(paths: Sequence[str | os.PathLike]) -> str:
    parts = []
    for path in map(pathlib.Path, paths):
        title = _TITLES.get(path.stem, path.stem)
        caption = _caption(path)
        try:
            image = base64.b64encode(path.read_bytes()).decode()
        except OSError as error:
            raise InputError(
                f"Wanted: the figure {path}. Received: {error.strerror}. "
                "Write the figures again."
            ) from error
        parts.append(
            f'<figure><h3>{_e(title)}</h3><div class="sheet"><img alt="{_e(title)}. '
            f'{_e(caption)}" src="data:image/png;base64,{image}"></div>'
            f"<figcaption>{_e(caption)}</figcaption></figure>"
        )
    return "<h2>Figures</h2>" + "".join(parts) if parts else ""


def _caption(path: pathlib.Path) -> str:
    try:
        words = json.loads((path.parent / CAPTIONS).read_text("utf-8"))
    except (OSError, ValueError):
        return ""  # a figure of another origin
    return str(words.get(path.name, ""))


def _differences(content: Content) -> str:
    chosen = headline_differences(content)
    if not chosen:
        return ""
    words = sample_words(chosen[0]["sample"], chosen[0]["truth"])
    return (
        f"<h2>Paired differences: {_e(words)}</h2>"
        '<p class="dim">The same objects and seeds on both sides. An ordering is '
        "resolved if the difference exceeds two errors and there are five seeds or "
        "more. Each cell is the regime of its row minus that of its column; grey is "
        "not resolved. Best first.</p>"
        + _matrix(content, chosen)
        + _details(
            "Differences on every sample",
            _difference_table(content, content.differences),
        )
    )


def _matrix(content: Content, chosen: Sequence[Mapping[str, Any]]) -> str:
    """Returns the differences as a triangle of regimes, best first."""
    ranked = content.ranked(chosen[0]["sample"], chosen[0]["truth"])
    names = ranked + [name for name in content.regimes if name not in ranked]
    sides = {name for one in chosen for name in (one["a"], one["b"])}
    names = [name for name in names if name in sides]
    pairs = {frozenset((one["a"], one["b"])): one for one in chosen}
    rows = []
    for i, row in enumerate(names[1:], 1):
        cells = [_regime(content, row)]
        for j, column in enumerate(names[:-1]):
            one = pairs.get(frozenset((row, column))) if j < i else None
            cells.append(_difference_cell(one, row) if one else "")
        rows.append(cells)
    head = ["", *(_regime(content, name) for name in names[:-1])]
    return _table(head, rows)


def _difference_cell(one: Mapping[str, Any], row: str) -> str:
    one = turned(one, row)
    text = _e(number(one["metric"], one["value"], one["error"]))
    if one["resolved"]:
        return f"<strong>{text}</strong>"
    return f'<span class="dim" title="not resolved">{text}</span>'


def _difference_table(content: Content, chosen: Sequence[Mapping[str, Any]]) -> str:
    head = ["a", "b", "sample", "verdict", "labels used", "metric", "a − b"]
    rows = []
    for one in chosen:
        rows.append(
            [
                _regime(content, one["a"]),
                _regime(content, one["b"]),
                _e(sample_words(one["sample"], one["truth"])),
                _e(verdict(one)),
                f"{one.get('fraction') or 0:.0%}",
                _e(heading(one["metric"])),
                _e(number(one["metric"], one["value"], one["error"])),
            ]
        )
    return _table(head, rows, text=4)


def _all_fractions(content: Content) -> str:
    if max((len(content.fractions(name)) for name in content.regimes), default=0) < 2:
        return ""
    crossover = content.raw.get("crossover") or {}
    head = ["regime", "sample", "labels used", "labels"]
    head += [_e(heading(name)) for name in content.metrics]
    rows = []
    for sample, truth in content.cases:
        for regime in content.regimes:
            for fraction in content.fractions(regime):
                line = [
                    content.row(regime, sample, truth, m, fraction)
                    for m in content.metrics
                ]
                labels = next((r.get("n_labels") for r in line if r), None)
                cells = [_regime(content, regime), _e(sample_words(sample, truth))]
                cells += [f"{fraction:.1%}", "" if labels is None else f"{labels:,}"]
                rows.append(cells + [_cell(row) for row in line])
    words = f"<p>{_e(crossover['text'])}</p>" if crossover.get("text") else ""
    table = _details("Every label fraction", _table(head, rows, text=2))
    return f"<h2>Label fractions</h2>{words}{table}"


def _costs(content: Content) -> str:
    if not content.costs:
        return ""
    head = ["regime", "labels used", "trainable parameters", "stored"]
    head += ["examples seen", "time [s]", "peak memory [GiB]"]
    rows = [
        [_regime(content, cost["regime"]), *map(_e, cost_cells(cost))]
        for cost in content.costs
    ]
    return f"<h2>Cost of one model</h2>{_table(head, rows)}"


def _published(content: Content) -> str:
    published = content.raw.get("published")
    if not published:
        return ""
    rows = published.get("rows") or []
    head = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_e(row.get(key)) for key in head] for row in rows]
    trust = f'<p class="dim">{_e(published.get("trust"))}</p>'
    table = _table([_e(key) for key in head], cells) if rows else ""
    return f"<h2>Published: {_e(published.get('title'))}</h2>{trust}{table}"


def _described(content: Content) -> str:
    rows = [[_regime(content, k), _e(v)] for k, v in content.described.items()]
    return _table(["regime", "what it does"], rows, text=2) if rows else ""


def _licences(content: Content) -> str:
    rows = [
        [_e(one.get(key)) for key in ("survey", "licence", "acknowledgement")]
        for one in content.raw.get("licences") or []
    ]
    head = ["survey", "licence", "acknowledgement"]
    return "<h2>Licences</h2>" + _table(head, rows, text=3) if rows else ""


def _json(value: Any) -> str:
    if not value:
        return ""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return f"<pre>{_e(text)}</pre>"


def _details(title: str, inner: str) -> str:
    if not inner:
        return ""
    return f"<details><summary>{_e(title)}</summary>{inner}</details>"

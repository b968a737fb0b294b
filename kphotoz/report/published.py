"""Published numbers of a recipe, line by line beside our rows of the same meaning.

A recipe's `published` has a title, a trust tag and `rows`; each row names a regime and,
by sample, its value; `metric`, `labels used` and `trust` may stand in it. Instead of
or beside `rows` it may have `tables`, a list of such parts each with its own title,
metric, window and trust, and `fractions`, a list of series: a regime, `labels used` as
a list, and a list of values for each sample.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from kphotoz.metrics import Window
from kphotoz.report.content import Content
from kphotoz.report.rows import Row
from kphotoz.report.style import SAMPLES

__all__ = ["Line", "PublishedTable", "published_tables"]

_SERIES_KEYS = ("fractions", "percent", "labels used")


@dataclasses.dataclass(frozen=True)
class Line:
    """One published regime: its values and ours, by sample."""

    regime: str
    metric: str
    labels: str
    trust: str
    published: Mapping[str, Any]
    ours: Mapping[str, Row | None]


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """One published table; `plain` has the rows of one that names no regime."""

    title: str
    note: str
    samples: list[str]
    lines: list[Line]
    plain: list[Mapping[str, Any]]


def published_tables(content: Content) -> list[PublishedTable]:
    """Returns the published tables of a comparison, in the recipe's order."""
    whole = content.raw.get("published") or {}
    parts = [whole] if whole.get("rows") else []
    parts += list(whole.get("tables") or [])
    parts += list(_series(whole))
    return [_table(content, {**_common(whole), **part}) for part in parts]


def _common(whole: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("title", "trust", "metric", "window")
    return {key: whole[key] for key in keys if key in whole}


def _series(whole: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields each series over label fractions as a table with a row a fraction."""
    series = whole.get("fractions") or []
    for one in [series] if isinstance(series, Mapping) else series:
        key = next((key for key in _SERIES_KEYS if key in one), None)
        values = list(one.get(key) or []) if key else []
        lists = {k: v for k, v in one.items() if isinstance(v, list) and k != key}
        rest = {k: v for k, v in one.items() if k not in lists and k != key}
        rows = []
        for place, used in enumerate(values):
            row = {"regime": rest.get("regime", ""), "labels used": _share(used, key)}
            row |= {k: v[place] for k, v in lists.items() if place < len(v)}
            rows.append(row)
        yield {**rest, "rows": rows}


def _share(value: Any, key: str | None) -> str:
    if isinstance(value, int | float):
        return f"{value * (100 if key == 'fractions' else 1):g} %"
    return str(value)


def _table(content: Content, part: Mapping[str, Any]) -> PublishedTable:
    rows = list(part.get("rows") or [])
    samples = [name for name in SAMPLES if any(name in row for row in rows)]
    if not samples or not all("regime" in row for row in rows):
        return PublishedTable(
            str(part.get("title", "")), _note(content, part, False), [], [], rows
        )
    lines = [_line(content, part, row, samples) for row in rows]
    matched = any(any(line.ours.values()) for line in lines)
    note = _note(content, part, matched)
    return PublishedTable(str(part.get("title", "")), note, samples, lines, [])


def _line(
    content: Content,
    part: Mapping[str, Any],
    row: Mapping[str, Any],
    samples: list[str],
) -> Line:
    metric = str(row.get("metric", part.get("metric", "nmad")))
    labels = str(row.get("labels used", ""))
    name = str(row["regime"])
    # What follows a comma tells runs of one regime apart.
    regime = name.split(",")[0].strip()
    window, share = _window(content, part), _fraction(labels)
    fractions = content.fractions(regime)
    fraction: float | None
    if share is None or fractions == [None]:
        fraction = content.largest(regime)
    elif share == 0:
        regime, fraction = "zero_shot", None
    else:
        near = [one for one in fractions if abs((one or 0.0) - share) < 1e-6]
        fraction = near[0] if near else share
    ours = {
        sample: content.row(regime, sample, "label", metric, fraction, window)
        for sample in samples
    }
    published = {sample: row.get(sample) for sample in samples}
    return Line(name, metric, labels, str(row.get("trust", "")), published, ours)


def _fraction(labels: str) -> float | None:
    """Returns the share in a text such as "40 %", None where there is none."""
    try:
        return float(labels.strip().rstrip("%")) / 100 if "%" in labels else None
    except ValueError:
        return None


def _window(content: Content, part: Mapping[str, Any]) -> Window | None:
    """Returns the window of ours that a published table is meant for."""
    wanted = part.get("window")
    if isinstance(wanted, Mapping):
        on = wanted.get("on", wanted.get(True))
        wanted = f"{wanted['low']:g} < {on} ≤ {wanted['high']:g}"
    same = (one for one in content.windows if one is not None and str(one) == wanted)
    return next(same, content.windows[0])


def _note(content: Content, part: Mapping[str, Any], matched: bool) -> str:
    words = [f"Trust: {part['trust']}"] if part.get("trust") else []
    if matched:
        window = _window(content, part) or "all redshifts"
        words.append(
            f"Ours: against labels, window: {window}, on the samples of this "
            "comparison, which are the published ones only if the recipe says so; "
            "± from objects and seeds"
        )
    return ". ".join(text.rstrip(". ") for text in words) + ("." if words else "")

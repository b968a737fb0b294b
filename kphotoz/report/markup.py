"""Pieces of HTML of which the page is made; every text that enters one is escaped."""

import html
from collections.abc import Sequence
from typing import Any

from kphotoz.report.content import Content
from kphotoz.report.rows import Row
from kphotoz.report.style import look, number

__all__ = ["details", "escaped", "html_table", "regime_cell", "value_cell"]


def escaped(value: Any) -> str:
    """Returns text that HTML shows as it is; "" for None."""
    text = "" if value is None else str(value)
    # Half a character, which JSON can hold, cannot be written.
    return html.escape(text.encode("utf-8", "replace").decode(), quote=True)


def html_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1
) -> str:
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


def regime_cell(content: Content, name: str) -> str:
    """Returns the name of a regime with a patch of its colour."""
    colour, _ = look(name, content.regimes)
    swatch = f'<span class="swatch" style="background:{colour}"></span>'
    return f'<span class="regime">{swatch}{escaped(name)}</span>'


def value_cell(row: Row | None) -> str:
    """Returns "value ± error" of a row; "" for none."""
    return escaped(number(row.metric, row.value, row.error)) if row else ""


def details(title: str, inner: str) -> str:
    """Returns a part of the page that opens on demand; "" if it is empty."""
    if not inner:
        return ""
    return f"<details><summary>{escaped(title)}</summary>{inner}</details>"

"""The table of docs/lora.md: one row a family, and one for each member that differs."""

import pathlib
import re
from collections.abc import Iterable

from families import CASES, LEFT_OUT, Case

__all__ = ["page", "smallest", "write"]

START, END = "<!-- families: start -->", "<!-- families: end -->"
HEADS = {
    "keras.applications": "Family",
    "keras_hub.models": "Backbone",
}
COLUMNS = ("Input", "Adapted layers", "Made as", "Folds", "int8 base")


def smallest(cases: dict[str, Case]) -> list[str]:
    """Returns the names of one model for each family."""
    families: dict = {}
    for case in cases.values():
        families.setdefault((case.source, case.family), case.name)
    return list(families.values())


def write(results: dict, path: pathlib.Path) -> None:
    """Rewrites what is between the two markers of a page.

    Args:
        results: {"model backend": what was found}, as `--results` keeps it.
        path: of the page.
    """
    text = path.read_text()
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"Wanted: {START} and {END} in {path}. Received: neither.")
    path.write_text(f"{before}{START}\n{page(results)}{END}{after}")


def page(results: dict) -> str:
    """Returns dates, versions and the two tables in Markdown."""
    parts = [_head(results, backend) for backend in ("tensorflow", "jax")]
    text = "\n".join(part for part in parts if part) + "\n"
    for source, head in HEADS.items():
        titles = [head, *COLUMNS, "TensorFlow", "JAX"]
        lines = [titles, ["---"] * len(titles), *_rows(results, source)]
        text += f"\n`{source}`:\n\n"
        text += "".join(f"| {' | '.join(line)} |\n" for line in lines)
    left = ", ".join(f"`{name}` ({why})" for name, why in LEFT_OUT.items())
    return f"{text}\nLeft out of `keras_hub.models`: {left}.\n"


def _head(results: dict, backend: str) -> str:
    mine = [x for key, x in results.items() if key.endswith(f" {backend}")]
    if not mine:
        return ""
    dates = sorted({x["date"] for x in mine})
    versions = sorted({f"{k} {v}" for x in mine for k, v in x["versions"].items()})
    works = sum(x["status"] == "works" for x in mine)
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    return f"{works} of {len(mine)} models, {when}, with {', '.join(versions)}."


def _rows(results: dict, source: str) -> list[list[str]]:
    rows: dict = {}
    for case in CASES.values():
        if case.source == source:
            rows.setdefault(_alike(case, results), []).append(case)
    return [_row(cases, results) for cases in rows.values()]


def _alike(case: Case, results: dict) -> tuple:
    """Returns what members of a family must share to be in one row."""
    one = results.get(f"{case.name} tensorflow", {})
    names = ("inputs", "status", "reason", "kind")
    words = [_word(one.get(x, "")) for x in ("fold", "quantized")]
    return (case.family, case.note, *(one.get(x) for x in names), *words)


def _row(cases: list[Case], results: dict) -> list[str]:
    found = [results.get(f"{case.name} tensorflow") for case in cases]
    found = [x for x in found if x]
    jax = [(case, results.get(f"{case.name} jax")) for case in cases]
    known = found or [x for _, x in jax if x] or [{}]
    one = known[0]
    graph = one.get("kind") != "AdaptedModel"
    return [
        _names(cases),
        one.get("inputs", ""),
        _counts(known),
        ("graph" if graph else "AdaptedModel") if "kind" in one else "",
        _word(one.get("fold", "")),
        _word(one.get("quantized", "")),
        _status(cases[0], found[0]) if found else "not run",
        _jax(jax, len(cases) > 1),
    ]


def _names(cases: list[Case]) -> str:
    names = [case.name for case in cases]
    if len(names) == 1:
        return f"`{names[0]}`"
    family = cases[0].family
    return f"{family}: {', '.join(f'`{name}`' for name in names)}"


def _counts(known: list[dict]) -> str:
    pairs = [(len(x["adapted"]), len(x["skipped"])) for x in known if "adapted" in x]
    if not pairs:
        return ""
    some, all_ = ([a for a, _ in pairs], [a + s for a, s in pairs])
    return f"{_span(some)} of {_span(all_)}"


def _span(values: Iterable[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _word(text: str) -> str:
    """Returns the first words of what the contract reports of a clause."""
    words = {"folded": "yes", "not quantized": "–", "kept": "yes", "refused": "no"}
    return words.get(text.partition(":")[0], text)


def _status(case: Case, one: dict) -> str:
    text = one["status"]
    note = one.get("reason") or case.note
    # A bar would end the cell.
    return f"{text}: {re.sub(r'[|]', '/', note)[:200]}" if note else text


def _jax(pairs: list[tuple[Case, dict | None]], several: bool) -> str:
    ran = [(case, one) for case, one in pairs if one]
    if not ran:
        return "not run"
    case, one = ran[0]
    name = f" (`{case.name}`)" if several else ""
    return _status(case, one) + name

"""A table to evaluate: a path, and how its columns are called."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from kphotoz.errors import InputError, unknown

__all__ = ["TableSpec", "parse_tables"]

_KEYS = ("pred", "true", "id", "name")
_FIELDS = re.compile(r"^(?P<path>.+?):(?P<fields>\w+=[^=]+(?:,\w+=[^=]+)*)$")


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """One table: where it is, its column names (None: not said) and what to call it."""

    path: pathlib.Path
    pred: str | None = None
    true: str | None = None
    id: str | None = None
    name: str = ""


def parse(text: str) -> TableSpec:
    """Returns the spec of a text such as "A.csv:pred=zphot,true=zspec,id=objid".

    Raises:
        InputError: a key that is none of pred, true, id, name.
    """
    match = _FIELDS.match(text)
    if not match:
        path = pathlib.Path(text)
        return TableSpec(path, name=path.name.split(".")[0])
    path = pathlib.Path(match["path"])
    fields = {"name": path.name.split(".")[0]}
    for part in match["fields"].split(","):
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise unknown(f"key in {text!r}", key, _KEYS)
        fields[key] = value
    return TableSpec(path, **fields)


def parse_tables(texts: Sequence[str]) -> list[TableSpec]:
    """Returns the specs, each with a name of its own.

    Raises:
        InputError: two tables have one name.
    """
    specs = [parse(text) for text in texts]
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            "Wanted: a name of its own for each table. "
            f"Received: two called {twice!r}. Add one, as in A.csv:name=BPZ."
        )
    return specs

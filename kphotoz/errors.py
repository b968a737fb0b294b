"""The one exception family that commands catch, and the words it is told in.

An error says what was wanted, what was received and how to fix it, in one line.
Anything else that escapes a command is a bug of ours and keeps its traceback.
"""

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "message_of", "unknown"]


_LONGEST = 2000  # characters of an error; our choice


class InputError(ValueError):
    """A user's file, option or setting that cannot be used as it is.

    What is shown is one printable line: names and cells of a damaged file can hold line
    breaks, commands to the terminal, or a million characters.
    """

    def __init__(self, message: str = "") -> None:
        line = " ".join(str(message).split())
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST - 400]} … {line[-390:]}"
        shown = (c if c.isprintable() else ascii(c)[1:-1] for c in line)
        super().__init__("".join(shown))


def unknown(kind: str, name: str, choices: Iterable[str]) -> InputError:
    """Returns an error that names the choices nearest to `name`.

    Args:
        kind: str. What was looked up, for example "regime".
        name: str. What was asked for.
        choices: iterable of str. What exists.
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(str(name), choices, n=3, cutoff=0.4)
    hint = f"Did you mean {', '.join(near)}?" if near else ""
    return InputError(
        f"Unknown {kind}. Wanted: one of {', '.join(choices)}. "
        f"Received: {name!r}. {hint}".strip()
    )


def message_of(error: Exception) -> str:
    """Returns what a validation found wrong in one line: fields, reasons and values.

    Args:
        error: of pydantic, else its own words are returned.
    """
    if not hasattr(error, "errors"):
        return " ".join(str(error).split())
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'fields'}: "
        f"{one['msg'].removeprefix('Value error, ')}, not {one.get('input')!r:.80}"
        for one in error.errors()
    )

"""Texts and sizes from files of strangers: data only, and no more than the file holds.

What is wrong is a ValueError, for the caller to tell with the name of the file.
"""

import csv
import json
import re
import struct
import tokenize
import zipfile
import zlib
from typing import Any

__all__ = ["EXPANSION", "check_pattern", "check_size", "is_damage", "parse_json"]

# Deflate packs at most 1032 bytes into one; no file has more in it.
EXPANSION = 1100
_FLOOR = 1 << 26  # bytes that any file may ask for; our choice
# A group that is repeated, or four repeats in a row, can keep `re` busy for hours.
_REPEATS = 3
_REPEAT = re.compile(r"(?<![\\(])(?:\\\\)*[*+?{]")
_REPEATED_GROUP = re.compile(r"(?<!\\)(?:\\\\)*\)[*+{]")


# What h5py, zipfile, numpy, astropy, csv and pyarrow raise on files that are not what
# they seem. Each comes from a mutated file of the tests or the library's own source.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    csv.Error,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
# What astropy's compiled code raises, which has no base but Exception.
_NAMED = ("CfitsioException",)


def is_damage(error: Exception) -> bool:
    """Returns whether a library may have raised this on a damaged file."""
    return isinstance(error, _DAMAGE) or type(error).__name__ in _NAMED


def parse_json(text: str | bytes) -> Any:
    """Returns what a JSON text holds.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_pattern(pattern: str) -> None:
    """Checks that a regular expression is one, and cannot take for ever.

    Raises:
        ValueError: it is none, a group in it is repeated, or it has many repeats.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"no regular expression: {error}") from error
    if len(_REPEAT.findall(pattern)) > _REPEATS or _REPEATED_GROUP.search(pattern):
        raise ValueError(
            f"a pattern that could take for ever: more than {_REPEATS} of * + ? {{, or "
            "one after a group"
        )


def check_size(wanted: int, stored: int, what: str) -> None:
    """Checks that something is not far larger than what is stored of it.

    Args:
        wanted: int [byte]. Size that it declares.
        stored: int [byte]. Size of it in the file.
        what: str. What it is.

    Raises:
        ValueError: it could not be compressed so well: the declaration is wrong.
    """
    if wanted < 0 or (wanted > _FLOOR and wanted > EXPANSION * stored):
        raise ValueError(f"{what} declares {wanted} bytes and holds {stored}")

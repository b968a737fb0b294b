"""Texts and sizes from files of strangers: data only, and no more than the file holds.

What is wrong is a ValueError, which `damaged` tells with the name of the file.
"""

import contextlib
import csv
import json
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from kphotoz.errors import InputError

__all__ = ["EXPANSION", "check_pattern", "check_size", "damaged", "parse_json"]

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
# What astropy and pyarrow raise that has no base but Exception; told by name, so that
# neither is imported.
_NAMED = {"ArrowException", "CfitsioException", "VerifyError"}


@contextlib.contextmanager
def damaged(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Tells what a library raises on a damaged file as one InputError.

    Args:
        path: path of the file.
        kind: str. What the file should have been.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"Wanted: {kind}. Received: {path}, which does not exist. Check the path."
        ) from error
    except Exception as error:
        if not _is_damage(error):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"Wanted: {kind}. Received: {path}, which cannot be read ({reason}). "
            "Is it complete? Copy or write it again."
        ) from error


def _is_damage(error: Exception) -> bool:
    named = {kind.__name__ for kind in type(error).__mro__} & _NAMED
    return isinstance(error, _DAMAGE) or bool(named)


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

"""Where tables of objects may be written: not over what they are made from."""

import collections
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from kphotoz.errors import InputError
from kphotoz.files_in.survey_spec import SurveySpec

__all__ = ["check_names", "check_place"]

_OF_A_RUN = ("metrics.json", "comparison.json")  # beside its own predictions


def check_place(out: pathlib.Path, inputs: Iterable[Any]) -> None:
    """Checks that an output replaces no input and no run's own predictions.

    Args:
        out: path of a file, or of Beam's folder.
        inputs: as of `predict`; only what SurveySpecs name is on the disk as it is.

    Raises:
        InputError: it is an input, lies in a folder that is one, or is the table of
            test predictions that a fit or a comparison wrote.
    """
    place = _resolved(out)
    for source in inputs:
        if not isinstance(source, SurveySpec):
            continue
        table = getattr(source, "table", None) or ""  # of a folder, may lie elsewhere
        for read in (source.file, source.file / table):
            if _resolved(read) in (place, *place.parents):
                raise InputError(
                    f"Wanted: predictions outside of the input {read}. Received: "
                    f"{out} as output. Choose another --out."
                )
    beside = [out.with_name(name) for name in _OF_A_RUN]
    if out.name == "predictions.parquet" and any(path.exists() for path in beside):
        raise InputError(
            f"Wanted: a file that no run wrote. Received: {out}, the test predictions "
            "of a run. Choose another --out."
        )


def check_names(streams: Iterable[Any]) -> None:
    """Checks that the column `input` tells rows of one input from those of another.

    Raises:
        InputError: two have one name.
    """
    counts = collections.Counter(stream.name for stream in streams)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InputError(
            f"Wanted: inputs of different names. Received: {twice[0]} more than once, "
            "whose rows nothing would tell apart. Predict them one by one."
        )


def _resolved(path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(os.path.realpath(path))  # `resolve` fails where links circle

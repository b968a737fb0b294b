"""What is predicted at once, and the columns that come of it."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from kphotoz.data.stream import Stream
from kphotoz.errors import InputError
from kphotoz.prediction.engines import Engine, choose

__all__ = ["columns", "engine_for", "kinds", "predict_batch", "shards"]

_BATCHES_IN_SHARD = 16  # a killed run repeats about so many batches; our choice
_BATCHES_SEARCHED = 100  # for one on which engines can be compared; our choice


def shards(streams: list[Stream], batch_size: int) -> list[tuple[int, int, int]]:
    """Returns (stream, first row, row after the last) of each piece of the work."""
    size = batch_size * _BATCHES_IN_SHARD
    return [
        (number, start, min(start + size, len(stream)))
        for number, stream in enumerate(streams)
        for start in range(0, len(stream), size)
    ]


def engine_for(
    model: Any, wanted: str, streams: list[Stream], batch_size: int, precision: str
) -> Engine:
    """Returns the engine for all rows of streams, compared on the first batch of use.

    Args:
        model: keras.Model.
        wanted: "auto", "keras" or "openvino".
        streams: what is to be predicted.
        batch_size: int. Rows in every batch.
        precision: "float32" or "mixed_bfloat16".

    Raises:
        InputError: the engine cannot be used, or there is nothing to predict.
    """
    if not streams:
        raise InputError(
            "Wanted: an input to predict. Received: none. Name a file or a survey."
        )
    return choose(
        model,
        wanted,
        shapes=[stream.input_shape for stream in streams],
        rows=sum(map(len, streams)),
        batch_size=batch_size,
        precision=precision,
        sample=lambda: _sample(streams, batch_size),
    )


def _sample(streams: list[Stream], batch_size: int) -> np.ndarray | None:
    """Returns the first batch with a usable row, None where one is hard to find.

    Rows in it that cannot be used are zeros.
    """
    batches = (chunk for one in streams for chunk in one.chunks(batch_size))
    for _, inputs, flags in itertools.islice(batches, _BATCHES_SEARCHED):
        if (flags == "").any():
            return _batch(inputs, flags == "", batch_size)
    return None


def _batch(inputs: np.ndarray, usable: np.ndarray, batch_size: int) -> np.ndarray:
    if len(inputs) == batch_size and usable.all():
        return np.asarray(inputs, np.float32)
    batch = np.zeros((batch_size, *inputs.shape[1:]), np.float32)
    batch[: len(inputs)][usable] = inputs[usable]
    return batch


def predict_batch(
    call: Callable[[np.ndarray], np.ndarray],
    inputs: np.ndarray,
    flags: np.ndarray,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns redshifts of at most a batch of inputs, and flags.

    Args:
        call: an engine's function.
        inputs: (m, ...) float32, m <= batch_size.
        flags: (m,) str objects, "" for a usable row.
        batch_size: int. Rows that the engine takes.

    Returns:
        (m,) float32, NaN where flagged; (m,) str objects.

    Raises:
        InputError: the model has no single output per row.
    """
    usable = flags == ""
    predicted = call(_batch(inputs, usable, batch_size))
    if predicted.size != batch_size:
        raise InputError(
            "Wanted: a model with one redshift per object. Received: output of shape "
            f"{predicted.shape} for {batch_size} objects."
        )
    values = predicted.reshape(-1)[: len(inputs)]
    flags = flags.copy()
    flags[usable & ~np.isfinite(values)] = "non_finite_prediction"
    return np.where(flags == "", values, np.float32(np.nan)), flags


def kinds(streams: list[Stream]) -> dict[str, str]:
    """Returns the columns of predictions and their types, as writers take them.

    There is each label that any input has.
    """
    columns = {"id": "text", "row": "int64", "z_pred": "float32", "flag": "text"}
    for name in (name for stream in streams for name in stream.table):
        columns.setdefault(name, "text" if name == "group" else "float64")
    return columns | ({"input": "text"} if len(streams) > 1 else {})


def columns(
    stream: Stream, start: int, names: list[str], z_pred: np.ndarray, flags: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns columns of consecutive rows; a label that the input lacks is NaN or "".

    Args:
        stream: where they come from.
        start: int. The first row.
        names: list of str. The columns, from `kinds`.
        z_pred: (m,) float32.
        flags: (m,) str objects.
    """
    stop = start + len(z_pred)
    made = {
        "row": np.arange(start, stop),
        "z_pred": z_pred,
        "flag": flags,
        "input": np.full(len(z_pred), stream.name, object),
    }
    made = {name: stream.table[name][start:stop] for name in stream.table} | made
    made.setdefault("group", np.full(len(z_pred), "", object))
    missing = np.full(len(z_pred), np.nan)
    return {name: made.get(name, missing) for name in names}

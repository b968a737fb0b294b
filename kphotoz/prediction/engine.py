"""Predicts every row of files and surveys; memory does not grow with their size."""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kphotoz.data.stream import Stream, open_stream
from kphotoz.data.survey_spec import SurveySpec
from kphotoz.errors import InputError, unknown
from kphotoz.files import atomic, exclusive, hash_arrays, sweep
from kphotoz.prediction.parts import Parts
from kphotoz.prediction.writers import FORMATS, ascii_bytes, open_writer

__all__ = ["Summary", "predict"]

_BATCHES_IN_SHARD = 16  # a killed run repeats at most so many batches; our choice


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was predicted.

    Args:
        out: path of the table.
        rows: int. Rows in it, as many as in the inputs.
        flagged: dict of reason to number of rows without a prediction.
    """

    out: pathlib.Path
    rows: int
    flagged: dict[str, int]


def predict(
    model: Any,
    inputs: Sequence[SurveySpec | str],
    out: pathlib.Path,
    *,
    batch_size: int = 256,
    resume: bool = False,
    model_hash: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Writes a table with one row per input row, in order.

    Columns: `id`, `row` (position in its input), `z_pred`, `flag` ("" or why there is
    no prediction, which is then NaN), the labels that the input has and, with several
    inputs, `input`. All batches have one shape, so the same inputs give the same bits
    whatever file they come from. The table appears when it is whole.

    Args:
        model: keras.Model of (batch, height, width, band), or of (batch, band, 2)
            fluxes and errors [µJy], to (batch, 1).
        inputs: specs of files, and survey names, "builder/config" or
            "builder/config:split".
        out: path. `.parquet`, `.fits` or `.csv`.
        batch_size: int > 0. Rows predicted at once.
        resume: bool. Go on where a killed run of the same inputs stopped.
        model_hash: str or None. Identity of the model. [default: of its weights]
        progress: called with the rows done and the rows in all.

    Raises:
        InputError: an input cannot be read, or its kind, bands, pixel scale or image
            size are not the model's.
    """
    if batch_size < 1:
        raise InputError(f"Wanted: a batch size from 1 up. Received: {batch_size}.")
    out = pathlib.Path(out)
    if out.suffix.lower() not in FORMATS:
        raise unknown("format of predictions", out.suffix, FORMATS)
    _choose_compilation(model)
    lock = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(lock, out))
        sweep(out)
        streams = []
        for source in inputs:
            streams.append(open_stream(source))
            stack.callback(streams[-1].close)
            _check(model, streams[-1])
        plan = {
            "inputs": [[stream.name, stream.digest()] for stream in streams],
            "model": model_hash or hash_arrays(*model.get_weights()),
            "batch_size": batch_size,
        }
        parts = Parts(out, plan, resume)
        shards = [shard for shard in _shards(streams, batch_size * _BATCHES_IN_SHARD)]
        _compute(model, streams, shards, parts, batch_size, progress)
        flagged = _assemble(streams, shards, parts, out)
        parts.remove()
    return Summary(out, sum(map(len, streams)), flagged)


def _choose_compilation(model: Any) -> None:
    if hasattr(model, "jit_compile"):
        from kphotoz.backend import jit_compile

        model.jit_compile = jit_compile()


def _check(model: Any, stream: Stream) -> None:
    received = stream.input_shape
    wanted = tuple(getattr(model, "input_shape", (None, *received)))[1:]
    if len(wanted) != len(received):
        mine, theirs = ("photometry", "images")[:: 1 if len(wanted) == 2 else -1]
        raise InputError(
            f"Wanted: {mine}, as the model was trained on. Received: {theirs} in "
            f"{stream.name}. Say --magnitudes or --fluxes for photometry, and neither "
            "for images."
        )
    for layer in getattr(model, "layers", []):
        if hasattr(layer, "bands") and hasattr(layer, "check"):
            layer.check(stream.bands, stream.pixel_scale)
    if any(size not in (None, got) for size, got in zip(wanted, received, strict=True)):
        axes = "(height, width, band)" if stream.kind == "image" else "(band, 2)"
        fix = "Cut them to that size." if stream.kind == "image" else "Check --bands."
        raise InputError(
            f"Wanted: inputs {axes} of {wanted}, as the model was "
            f"trained on. Received: {received} in {stream.name}. {fix}"
        )


def _shards(streams: list[Stream], size: int) -> Iterator[tuple[int, int, int]]:
    for number, stream in enumerate(streams):
        for start in range(0, len(stream), size):
            yield number, start, min(start + size, len(stream))


def _name(shard: tuple[int, int, int]) -> str:
    return f"{shard[0]:04d}-{shard[1]:012d}"


def _compute(
    model: Any,
    streams: list[Stream],
    shards: list[tuple[int, int, int]],
    parts: Parts,
    batch_size: int,
    progress: Callable[[int, int], None],
) -> None:
    todo = [shard for shard in shards if _finished(parts, shard) is None]
    total = sum(map(len, streams))
    done = total - sum(stop - start for _, start, stop in todo)
    progress(done, total)
    chunks, at = iter(()), None
    for shard in todo:
        number, start, stop = shard
        if at != (number, start):  # another input, or a gap that a killed run left
            chunks = _ahead(streams[number].chunks(batch_size, start))
        z_pred, flags = [], []
        for _ in range(start, stop, batch_size):
            _, rows, reasons = next(chunks)
            values, reasons = _predict_batch(model, rows, reasons, batch_size)
            z_pred.append(values)
            flags.append(reasons)
        parts.write(_name(shard), np.concatenate(z_pred), np.concatenate(flags))
        at = (number, stop)
        done += stop - start
        progress(done, total)


def _finished(parts: Parts, shard: tuple[int, int, int]) -> Any:
    _, start, stop = shard
    return parts.read(_name(shard), stop - start)


def _ahead(chunks: Iterator[Any]) -> Iterator[Any]:
    """Yields chunks while the next one is being read."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def _predict_batch(
    model: Any, inputs: np.ndarray, flags: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    usable = flags == ""
    batch = np.zeros((batch_size, *inputs.shape[1:]), np.float32)
    batch[: len(inputs)][usable] = inputs[usable]
    predicted = np.asarray(model.predict_on_batch(batch), np.float32)
    if predicted.size != batch_size:
        raise InputError(
            "Wanted: a model with one redshift per object. Received: output of shape "
            f"{predicted.shape} for {batch_size} objects."
        )
    values = predicted.reshape(-1)[: len(inputs)]
    flags = flags.copy()
    flags[usable & ~np.isfinite(values)] = "non_finite_prediction"
    return np.where(flags == "", values, np.float32(np.nan)), flags


def _assemble(
    streams: list[Stream],
    shards: list[tuple[int, int, int]],
    parts: Parts,
    out: pathlib.Path,
) -> dict[str, int]:
    labels = [name for name in streams[0].table if name != "id"]
    labels = [name for name in labels if all(name in s.table for s in streams)]
    kinds = {"id": "text", "row": "int64", "z_pred": "float32", "flag": "text"}
    kinds |= {name: "text" if name == "group" else "float64" for name in labels}
    if len(streams) > 1:
        kinds["input"] = "text"
    widths = {"flag": 24, "input": max(len(ascii_bytes(s.name)) for s in streams)}
    for name in ("id", "group"):
        texts = (text for s in streams for text in s.table.get(name, ()))
        widths[name] = max((len(ascii_bytes(text)) for text in texts), default=1)
    flagged: collections.Counter = collections.Counter()
    with atomic(out) as aside:
        writer = open_writer(aside, kinds, sum(map(len, streams)), widths)
        with contextlib.closing(writer):
            for number, start, stop in shards:
                z_pred, flags = _finished(parts, (number, start, stop))
                flagged.update(flags[flags != ""].tolist())
                stream = streams[number]
                columns = {"z_pred": z_pred, "flag": flags}
                columns["row"] = np.arange(start, stop)
                columns["input"] = np.full(stop - start, stream.name, object)
                for name in ("id", *labels):
                    columns[name] = stream.table[name][start:stop]
                writer.write(columns)
    return dict(sorted(flagged.items()))

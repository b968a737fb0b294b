"""Predicts every row of files and surveys; memory does not grow with their size."""

import collections
import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from kphotoz._version import __version__
from kphotoz.data.stream import Stream
from kphotoz.errors import InputError, unknown
from kphotoz.files import atomic, exclusive, hash_arrays, sweep
from kphotoz.files_in.stream import open_stream
from kphotoz.files_in.survey_spec import SurveySpec
from kphotoz.models import check_input
from kphotoz.prediction import rows
from kphotoz.prediction.parts import Parts
from kphotoz.prediction.place import check_names, check_place
from kphotoz.prediction.writers import FORMATS, ascii_bytes, open_writer, origin_of
from kphotoz.untrusted import parse_json

__all__ = ["Summary", "predict"]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was predicted.

    Args:
        out: path of the table.
        rows: int. Rows in it, as many as in the inputs.
        flagged: dict of reason to number of rows without a prediction.
        engine: dict of name, version and precision of what computed.
    """

    out: pathlib.Path
    rows: int
    flagged: dict[str, int]
    engine: dict[str, str]


def predict(
    model: Any,
    inputs: Sequence[SurveySpec | Stream | str],
    out: pathlib.Path,
    *,
    batch_size: int = 256,
    resume: bool = False,
    model_hash: str | None = None,
    engine: str = "auto",
    precision: str = "float32",
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Writes a table with one row per input row, in order.

    Columns: `id`, `row` (position in its input), `z_pred`, `flag` ("" or why there is
    no prediction, which is then NaN), the labels that any input has (NaN or "" where
    another lacks them) and, with several inputs, `input`. All batches have one shape,
    so one engine gives the same bits for the same inputs whatever file they come from.
    The table appears when it is whole.

    Adapters are merged and batch normalisations folded first, in a copy: predictions
    are those of the model's own `predict` to about 1e-5, not to the last bit.

    Args:
        model: keras.Model of (batch, height, width, band), or of (batch, band, 2)
            fluxes and errors [µJy], to (batch, 1).
        inputs: specs of files, survey names, "builder/config" or
            "builder/config:split", and Streams of one's own, which are closed.
        out: path. `.parquet`, `.fits` or `.csv`; an older table there is replaced.
        batch_size: int > 0. Rows predicted at once.
        resume: bool. Go on where a killed run of the same inputs stopped; with
            `model_hash` a table that says that it is of this plan is left as it is.
        model_hash: str or None. Identity of the model. [default: of its weights]
        engine: "keras", "openvino", or "auto" for the second where it is installed,
            repays its export, has no GPU beside it and agrees with the first.
        precision: "float32", or "mixed_bfloat16" to allow OpenVINO bfloat16 where the
            processor has it. Keras computes as the model was saved.
        progress: called with the rows done and the rows in all.
        tell: called with one line on the engine and why it was chosen.

    Raises:
        InputError: the engine cannot be used, an input cannot be read, or its kind,
            bands, pixel scale or image size are not the model's; or `out` is an
            input, or a run's own predictions; or an input changed meanwhile.
    """
    if batch_size < 1:
        raise InputError(f"Wanted: a batch size from 1 up. Received: {batch_size}.")
    _check_file(out := pathlib.Path(out))
    check_place(out, inputs)
    lock = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(lock, out))
        sweep(out)
        streams = _opened(stack, model, inputs)
        plan = {
            "kphotoz": __version__,
            "inputs": [[stream.name, stream.digest()] for stream in streams],
            "model": model_hash or hash_arrays(*model.get_weights()),
            "batch_size": batch_size,
        }
        chosen = rows.engine_for(model, engine, streams, batch_size, precision)
        tell(f"Engine: {chosen}")
        plan["engine"] = chosen.identity
        parts = Parts(out, plan, resume)
        summary = Summary(out, sum(map(len, streams)), {}, chosen.identity)
        # Weights alone do not say what a model does with them: then no table is whole.
        known = resume and model_hash
        flagged = _flagged_before(out, plan, summary.rows) if known else None
        if flagged is not None:
            parts.remove()
            tell(f"{out} holds these predictions already: nothing is left to do")
            return dataclasses.replace(summary, flagged=flagged)
        shards = rows.shards(streams, batch_size)
        _compute_all(chosen.call, streams, shards, parts, batch_size, progress)
        flagged = _count_flags(shards, parts)
        with atomic(out) as aside:
            _assemble(streams, shards, parts, aside, _origin(plan, flagged))
        parts.remove()
    return dataclasses.replace(summary, flagged=flagged)


def _check_file(out: pathlib.Path) -> None:
    if out.suffix.lower() not in FORMATS:
        raise unknown("format of predictions", out.suffix, FORMATS)
    if out.is_dir():
        raise InputError(
            f"Wanted: a file for predictions. Received: {out}, a folder. Choose "
            "another --out."
        )


def _origin(plan: dict[str, Any], flagged: dict[str, int]) -> str:
    """Returns what a table says of itself: all that decided its values."""
    inputs = hashlib.sha256(json.dumps(plan["inputs"]).encode()).hexdigest()
    return json.dumps(plan | {"inputs": inputs, "flagged": flagged})


def _flagged_before(
    out: pathlib.Path, plan: dict[str, Any], count: int
) -> dict[str, int] | None:
    """Returns the counts of flags of a whole table of this plan, else None."""
    said, held = origin_of(out)
    try:
        flagged = parse_json(said)["flagged"]
    except (ValueError, LookupError, TypeError):
        return None
    return flagged if said == _origin(plan, flagged) and held == count else None


def _opened(
    stack: contextlib.ExitStack, model: Any, inputs: Sequence[Any]
) -> list[Stream]:
    """Returns the inputs opened, which the stack closes, each fit for the model."""
    streams = []
    for source in inputs:
        streams.append(open_stream(source))
        stack.callback(streams[-1].close)
        check_input(model, streams[-1])
    check_names(streams)
    return streams


def _compute_all(
    call: Callable[[np.ndarray], np.ndarray],
    streams: list[Stream],
    shards: list[tuple[int, int, int]],
    parts: Parts,
    *options: Any,
) -> None:
    """Finishes all shards of inputs that stay what they were meanwhile."""
    try:
        _compute(call, streams, shards, parts, *options)
    except Exception:  # a file that changes fails in many ways
        _check_unchanged(streams, parts)
        raise
    _check_unchanged(streams, parts)


def _name(shard: tuple[int, int, int]) -> str:
    return f"{shard[0]:04d}-{shard[1]:012d}"


def _compute(
    call: Callable[[np.ndarray], np.ndarray],
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
    with ThreadPoolExecutor(1) as writer:
        written = None
        for shard in todo:
            number, start, stop = shard
            if at != (number, start):  # another input, or a gap that a killed run left
                chunks = _ahead(streams[number].chunks(batch_size, start))
            z_pred, flags = [], []
            for row in range(start, stop, batch_size):
                inputs, reasons = streams[number].next_batch(chunks, row, batch_size)
                answers, odd = rows.predict_batch(call, inputs, reasons, batch_size)
                z_pred.append(answers)
                flags.append(odd)
            at = (number, stop)
            if written:
                written.result()  # raises what the writing raised
            columns = np.concatenate(z_pred), np.concatenate(flags)
            written = writer.submit(parts.write, _name(shard), *columns)
            done += stop - start
            progress(done, total)
        if written:
            written.result()


def _check_unchanged(streams: list[Stream], parts: Parts) -> None:
    try:
        for stream in streams:
            stream.check_unchanged()
    except InputError:
        parts.remove()  # they are of no one state of the input
        raise


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


def _assemble(
    streams: list[Stream],
    shards: list[tuple[int, int, int]],
    parts: Parts,
    out: pathlib.Path,
    origin: str,
) -> None:
    kinds = rows.kinds(streams)
    widths = {"flag": 24, "input": max(len(ascii_bytes(s.name)) for s in streams)}
    for name in ("id", "group"):
        texts = (text for s in streams for text in s.table.get(name, ()))
        widths[name] = max((len(ascii_bytes(text)) for text in texts), default=1)
    writer = open_writer(out, kinds, sum(map(len, streams)), widths, origin)
    with contextlib.closing(writer):
        for number, start, stop in shards:
            z_pred, flags = _finished(parts, (number, start, stop))
            columns = rows.columns(streams[number], start, list(kinds), z_pred, flags)
            writer.write(columns)


def _count_flags(shards: list[tuple[int, int, int]], parts: Parts) -> dict[str, int]:
    counts: collections.Counter = collections.Counter()
    for shard in shards:
        _, flags = _finished(parts, shard)
        counts.update(flags[flags != ""].tolist())
    return dict(sorted(counts.items()))

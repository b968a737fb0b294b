"""Predictions by Apache Beam: on many machines, from any number of files and surveys.

Every worker loads the run, opens the inputs and predicts pieces of 16 batches, so the
run and the inputs must be where all workers see them under the same names.
"""

import contextlib
import logging
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.parquetio import WriteToParquetBatched
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from kphotoz.data.stream import Stream
from kphotoz.errors import InputError
from kphotoz.files_in.stream import open_stream
from kphotoz.files_in.survey_spec import SurveySpec
from kphotoz.models import check_input
from kphotoz.prediction import rows
from kphotoz.prediction.engines import start
from kphotoz.prediction.load_run import load_run
from kphotoz.prediction.place import check_names, check_place
from kphotoz.prediction.predictor import Summary
from kphotoz.prediction.writers import parquet_schema

__all__ = ["BatchHandler", "predict_on_beam"]

_FLAGS = "kphotoz_flags"  # the namespace of Beam's counters of flagged rows


class BatchHandler(ModelHandler[dict, pyarrow.Table, Callable]):
    """Predicts with a run; an example is a whole batch already, as `_Read` makes it.

    Args:
        run: str. A run folder or `.keras` file.
        engine: dict with name and precision: the identity of the engine to use.
        shape: tuple of int. One input.
        batch_size: int. Rows in every batch.
        kinds: dict of column name to type, of what is returned.
    """

    def __init__(
        self,
        run: str,
        engine: dict[str, str],
        shape: tuple[int, ...],
        batch_size: int,
        kinds: dict[str, str],
    ) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self.run, self.engine, self.shape = run, engine, shape
        self.batch_size, self.kinds = batch_size, kinds

    def load_model(self) -> Callable[[np.ndarray], np.ndarray]:
        """Returns the engine's function, for one thread at a time."""
        model, _ = load_run(self.run)
        call = start(model, self.engine, self.shape, self.batch_size)
        lock = threading.Lock()

        def alone(batch: np.ndarray) -> np.ndarray:
            with lock:
                return call(batch)

        return alone

    def run_inference(
        self,
        batch: Sequence[dict],
        model: Callable[[np.ndarray], np.ndarray],
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[pyarrow.Table]:
        """Yields a table of predictions for each batch of rows."""
        for each in batch:
            z_pred, flags = rows.predict_batch(
                model, each["inputs"], each["flags"], self.batch_size
            )
            for flag in flags[flags != ""]:
                Metrics.counter(_FLAGS, flag).inc()
            columns = each["columns"] | {"z_pred": z_pred, "flag": flags}
            yield pyarrow.table(
                {name: columns[name] for name in self.kinds},
                schema=parquet_schema(self.kinds),
            )

    def get_num_bytes(self, batch: Sequence[dict]) -> int:
        """Returns the size of the inputs."""
        return sum(each["inputs"].nbytes for each in batch)


class _Read(beam.DoFn):
    """Reads batches of a piece of an input."""

    def __init__(
        self, sources: list[SurveySpec | str], batch_size: int, names: list[str]
    ) -> None:
        self._sources, self._batch_size, self._names = sources, batch_size, names

    def setup(self) -> None:
        self._streams: dict[int, Stream] = {}

    def process(self, piece: tuple[int, int, int]) -> Iterator[dict]:
        number, first, stop = piece
        if number not in self._streams:
            self._streams[number] = open_stream(self._sources[number])
        stream = self._streams[number]
        chunks = stream.chunks(self._batch_size, first)
        for at in range(first, stop, self._batch_size):
            inputs, flags = stream.next_batch(chunks, at, self._batch_size)
            empty = np.zeros(len(inputs), np.float32)
            columns = rows.columns(stream, at, self._names, empty, flags)
            yield {"inputs": inputs, "flags": flags, "columns": columns}
        stream.check_unchanged()

    def teardown(self) -> None:
        for stream in self._streams.values():
            stream.close()


def predict_on_beam(
    run: str | os.PathLike,
    inputs: Sequence[SurveySpec | str],
    out: str | os.PathLike,
    *,
    options: Sequence[str] = (),
    batch_size: int = 256,
    engine: str = "auto",
    precision: str = "float32",
    tell: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Writes the rows that `predict` writes, as parquet files in a folder.

    Rows come in any order; `row`, and `input` where there are several, say which is
    which. A runner repeats what fails; a run that was killed starts anew.

    Args:
        run: run folder or `.keras` file.
        inputs: as of `predict`.
        out: folder on any file system that Beam writes to.
        options: Beam's, such as "--runner=DirectRunner", "--direct_num_workers=2".
        batch_size, engine, precision, tell: as of `predict`. The engine is chosen
            where this is called; workers that lack it fail.

    Raises:
        InputError: as of `predict`, or predictions are in the folder already.
    """
    prefix = FileSystems.join(str(out), "predictions")
    if any(match.metadata_list for match in FileSystems.match([f"{prefix}-*"])):
        raise InputError(
            f"Wanted: a folder without predictions. Received: {out}. Choose another "
            "--out, or remove what is there."
        )
    if "://" not in str(out):
        check_place(pathlib.Path(out), inputs)
    model, _ = load_run(run)
    streams = [open_stream(source) for source in inputs]
    try:
        for stream in streams:
            check_input(model, stream)
        check_names(streams)
        chosen = rows.engine_for(model, engine, streams, batch_size, precision)
        kinds, pieces = rows.kinds(streams), rows.shards(streams, batch_size)
        shape, count = streams[0].input_shape, sum(map(len, streams))
    finally:
        for stream in streams:
            stream.close()
    tell(f"Engine: {chosen}")
    handler = BatchHandler(str(run), chosen.identity, shape, batch_size, kinds)
    pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
    _ = (
        pipeline
        | "Pieces" >> beam.Create(pieces)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(_Read(list(inputs), batch_size, list(kinds)))
        | "Predict" >> RunInference(handler)
        | "Write"
        >> WriteToParquetBatched(
            prefix, parquet_schema(kinds), file_name_suffix=".parquet"
        )
    )
    with _told_once():
        result = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter().with_namespace(_FLAGS))
    flagged = {x.key.metric.name: x.result for x in counters["counters"]}
    return Summary(
        pathlib.Path(out), count, dict(sorted(flagged.items())), chosen.identity
    )


@contextlib.contextmanager
def _told_once() -> Iterator[None]:
    """Leaves out of Beam's log, with its tracebacks, what our own errors tell."""
    log = logging.getLogger("apache_beam.runners.common")
    log.addFilter(_is_not_ours)
    try:
        yield
    finally:
        log.removeFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], InputError))

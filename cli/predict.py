"""`kphotoz predict`: redshifts for every row of files and surveys."""

import dataclasses
import json
import os
import pathlib
import sys
from typing import Any

import click

from kphotoz_cli import options
from kphotoz_cli.file_options import FileOptions, find_sources, reading_options


@click.command(name="predict")
@click.argument("run", type=click.Path(path_type=pathlib.Path))
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", help="Where to write. [default: predictions.parquet; with "
              "--beam the folder predictions]")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=256,
              show_default=True, help="Objects predicted at once.")  # fmt: skip
@click.option("--engine", type=click.Choice(["auto", "keras", "openvino"]),
              default="auto", show_default=True,
              help="What computes; auto says which it takes and why.")  # fmt: skip
@click.option("--beam", multiple=True, metavar="OPTION",
              help="Option of Apache Beam, such as --beam=--runner=DirectRunner; Beam "
              "then predicts, and --out is a folder.")  # fmt: skip
@reading_options
@options.resume
@options.backend
@options.device
@options.as_json
def command(
    run: pathlib.Path,
    inputs: tuple[str, ...],
    out: str | None,
    batch_size: int,
    engine: str,
    beam: tuple[str, ...],
    file_spec: FileOptions,
    resume: bool,
    as_json: bool,
) -> None:
    """Predict redshifts with RUN for every row of INPUTs.

    RUN is a run folder or a .keras file. An INPUT is an HDF5 or NPZ file, a folder of
    FITS cutouts with a table, a table with --magnitudes or --fluxes, a survey.yaml, or
    a survey's name ("mock_hsc/photometric" or "mock_hsc/photometric:test"). The suffix
    of --out chooses parquet, FITS or CSV.
    """
    if beam and resume:
        raise click.UsageError("Beam's runners repeat what fails: leave out --resume.")
    out = out or ("predictions" if beam else "predictions.parquet")
    sources = find_sources(inputs, file_spec)
    how: dict[str, Any] = {
        "batch_size": batch_size,
        "engine": engine,
        # What was asked for; what suits the backend's device says nothing of OpenVINO.
        "precision": os.environ.get("KPHOTOZ_PRECISION", "float32"),
        "tell": lambda line: click.echo(line, err=True),
    }
    if beam:
        from kphotoz.prediction.beam import predict_on_beam

        summary = predict_on_beam(run, sources, out, options=beam, **how)
    else:
        from kphotoz import prediction

        model, identity = prediction.load_run(run)
        how |= {"resume": resume, "model_hash": identity, "progress": _progress}
        summary = prediction.predict(model, sources, pathlib.Path(out), **how)
    if as_json:
        results = dataclasses.asdict(summary) | {"out": str(summary.out)}
        click.echo(json.dumps(results))
        return
    click.echo(f"{summary.out}: {summary.rows} rows")
    for reason, count in summary.flagged.items():
        click.echo(f"{count} rows without a prediction: {reason}")


def _progress(done: int, total: int) -> None:
    end = "\r" if sys.stderr.isatty() and done < total else "\n"
    print(f"Predicted {done} of {total} rows", end=end, file=sys.stderr, flush=True)

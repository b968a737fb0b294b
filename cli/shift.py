"""`kphotoz shift`: is the target drawn from the source's distribution?"""

import json
import pathlib

import click

from kphotoz_cli import options
from kphotoz_cli.file_options import FileOptions, find_sources, reading_options


@click.command(name="shift")
@click.argument("run", type=click.Path(path_type=pathlib.Path))
@click.option("--source", required=True, metavar="INPUT",
              help="Like what RUN was trained on; a survey's test split unless one is "
              "named.")  # fmt: skip
@click.option("--target", required=True, metavar="INPUT",
              help="What RUN shall be used on; of a survey all rows.")  # fmt: skip
@click.option("--layer", metavar="NAME",
              help="Whose outputs. [default: what the last layer reads]")  # fmt: skip
@click.option("--rows", type=click.IntRange(min=20), default=1000, show_default=True,
              help="The most objects of a sample to test.")  # fmt: skip
@click.option("--permutations", type=click.IntRange(min=40), default=999,
              show_default=True,
              help="Relabellings of a test; 199 for the Fréchet distance.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Of rows, relabellings and random weights.")  # fmt: skip
@reading_options
@options.out("shift")
@options.backend
@options.device
@options.as_json
def command(
    run: pathlib.Path,
    source: str,
    target: str,
    layer: str | None,
    rows: int,
    permutations: int,
    seed: int,
    file_spec: FileOptions,
    out: pathlib.Path,
    as_json: bool,
) -> None:
    """Say whether --target is drawn from --source's distribution, and what follows.

    RUN is a run folder or a .keras file, an INPUT what `kphotoz predict` takes. The
    folder --out gets shift.json, scores.parquet with each object's distance from the
    source beside its prediction, and components.png.
    """
    from kphotoz import data, prediction
    from kphotoz.shift.sample_comparison import Settings, compare_samples

    settings = Settings(layer, rows, permutations, seed)
    first, second = find_sources((source, target), file_spec)
    if isinstance(first, str) and ":" not in source:
        if data.describe_survey(source).counts.get("test", 1):
            first = f"{source}:test"
    model, _ = prediction.load_run(run)
    results = compare_samples(
        model,
        first,
        second,
        out,
        settings,
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        written = json.loads((out / "shift.json").read_text())  # null for NaN
        click.echo(json.dumps(written, ensure_ascii=False))
        return
    from rich.console import Console

    from kphotoz.report.shift_table import shift_tables

    console = Console()
    for table in shift_tables(results):
        console.print(table)
    for sentence in results["sentences"]:
        click.echo(sentence)
    click.echo(f"Kinds: {', '.join(results['kinds']) or 'none'}")
    click.echo(f"Suggested regime: {results['regime']}")
    click.echo(str(out))

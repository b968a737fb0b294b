"""`kphotoz compare`: regimes over seeds and label fractions, one table with errors."""

import json
import pathlib
import shlex
import sys
from typing import Any

import click

from kphotoz_cli import options
from kphotoz_cli.recipe_options import recipe_options, resolve


def _list(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> list[str] | None:
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise click.BadParameter(f"wanted one or more, as in A,B; received {value!r}")
    return parts


def _fractions(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> list[float] | None:
    try:
        return [float(part) for part in _list(context, parameter, value) or []] or None
    except ValueError as error:
        raise click.BadParameter(
            f"wanted numbers like 0.1,1; received {value}"
        ) from error


def _sweep(given: tuple[str, ...]) -> dict[str, list] | None:
    from kphotoz.errors import InputError
    from kphotoz.recipes.load import parse_settings

    sweep: dict[str, list] = {}
    for text in given:
        key, equals, values = text.partition("=")
        if not (equals and values.strip()):
            raise InputError(
                f"Wanted: --sweep REGIME.FIELD=VALUE,… Received: {text!r}. "
                "Example: --sweep lora.rank=2,4,8"
            )
        ((key, variants),) = parse_settings([f"{key}=[{values}]"])
        sweep.setdefault(key, []).extend(variants)
    return sweep or None


@click.command(name="compare")
@recipe_options
@click.option("--regimes", callback=_list, help="Names, as in lora,lora+refit,full.")
@click.option("--seeds", type=click.IntRange(min=1), help="Runs of every regime.")
@click.option("--fractions", callback=_fractions, help="Shares of the target's labels.")
@click.option(
    "--folds",
    type=click.IntRange(min=1),
    help="Test every object once, in so many folds. [default: as the recipe says, "
    "else the survey's splits]",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="REGIME.FIELD=X,…",
    help="Variants of a regime, as in lora.rank=2,4,8; several combine.",
)
@click.option("--deploy", help="Survey that the deployment sample must resemble.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    envvar="KPHOTOZ_JOBS",
    help="Jobs to run at once. [default: by cores and memory, or one a GPU; "
    "with --resume as before]",
)
@options.out(None)
def command(
    recipe: str | None,
    regimes: list[str] | None,
    seeds: int | None,
    fractions: list[float] | None,
    folds: int | None,
    sweeps: tuple[str, ...],
    deploy: str | None,
    jobs: int | None,
    out: pathlib.Path | None,
    resume: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Compare ways of fine-tuning on the same test sets.

    RECIPE is a shipped name or a YAML file. [default: mock_hsc, built on the way]
    """
    overlay: dict[str, Any] = {
        "regimes": regimes,
        "seeds": seeds,
        "fractions": fractions,
        "folds": folds,
        "sweep": _sweep(sweeps),
    }
    overlay = {key: value for key, value in overlay.items() if value is not None}
    if deploy is not None:
        overlay["deployment"] = {"like": deploy}
    resolved = resolve(recipe, overlay=overlay, **chosen)
    out = out or pathlib.Path("runs") / f"compare-{resolved.name}"
    from kphotoz import comparison
    from kphotoz.training.progress import Reporter
    from kphotoz.training.run_folder import RunFolder

    reporter = Reporter()
    words = shlex.join(["kphotoz", *(x for x in sys.argv[1:] if x != "--resume")])
    with RunFolder(out).alone():
        arguments = comparison.compare(
            resolved, out, resume=resume, reporter=reporter, at_once=jobs
        )
        reporter.line("drawing errors from seeds and objects")
        results = comparison.summarize(*arguments, out, words)
    _print(results, out, as_json)


def _print(results: dict, out: pathlib.Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(json.loads((out / "comparison.json").read_text())))
        return
    from rich.console import Console

    from kphotoz import report

    click.echo(results["answer"])
    Console(width=None if sys.stdout.isatty() else 120).print(
        report.terminal_table(results)
    )
    click.echo(f"Report: {out / 'report.html'}; table: {out / 'comparison.csv'}")

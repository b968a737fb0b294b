"""`kphotoz fit`: trains a base model, or adapts one with a regime."""

import json
import math
import pathlib
from typing import Any

import click

from kphotoz_cli import options
from kphotoz_cli.recipe_options import recipe_options, resolve


def _number(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which no range refuses
        raise click.BadParameter("wanted a number above 0 and up to 1; received nan")
    return value


@click.command(name="fit")
@recipe_options
@click.option("--regime", help="How to adapt. [default: train a base on the source]")
@click.option(
    "--base",
    type=click.Path(path_type=pathlib.Path),
    help="Run folder of the base model, for regimes that start from one.",
)
@click.option("--fraction", type=click.FloatRange(0, 1, min_open=True), default=1.0,
              show_default=True, callback=_number,
              help="Share of the target's labels.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Initialisation and order of data.")  # fmt: skip
@options.distribution
@options.out(None)
def command(
    recipe: str | None,
    regime: str | None,
    base: pathlib.Path | None,
    fraction: float,
    seed: int,
    out: pathlib.Path | None,
    resume: bool,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Train a base model on the source, or adapt one to the target.

    RECIPE is a shipped name or a YAML file. [default: mock_hsc, built on the way]
    """
    from kphotoz import backend

    with backend.first_alone():  # imports the user's files for all
        resolved = resolve(recipe, overlay={}, **chosen)
    name = regime or ("base" if resolved.source else "from_scratch")
    out = out or pathlib.Path("runs") / f"fit-{resolved.name}-{name}"
    from kphotoz.regimes.fit import fit
    from kphotoz.training.progress import Reporter

    first = backend.process()[0] == 0
    metrics = fit(
        resolved,
        name,
        out,
        base=base,
        seed=seed,
        fraction=fraction,
        resume=resume,
        reporter=Reporter(quiet=not first),
    )
    if not first:
        return
    if as_json:
        click.echo(json.dumps(metrics))
        return
    for row in metrics["metrics"]:
        click.echo(_line(row))
    click.echo(f"Run: {out}")


def _line(row: dict) -> str:
    """Returns one metric in words; what could not be measured is nan, with its note."""
    value, error = (
        float("nan") if row[key] is None else row[key] for key in ("value", "error")
    )
    note = f"; {row['note']}" if row["note"] else ""
    return (
        f"{row['sample']:>8} {row['metric']:<14} {value:9.4f} "
        f"± {error:.4f}  (n = {row['n']}, against {row['truth']}, "
        f"{row['window'] or 'all redshifts'}{note})"
    )

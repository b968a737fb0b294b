"""`kphotoz bench`: what training steps cost on this machine, side by side."""

import json
from collections.abc import Callable
from typing import Any

import click

from kphotoz_cli import options

_COUNT = 2000  # galaxies that are built where no survey is named


@click.group(name="bench")
def command() -> None:
    """Time input and training steps on this machine."""


def _shared(function: Callable) -> Callable:
    """Adds what both commands take."""
    decorators = (
        click.argument("survey", required=False),
        click.option("--model", help="Network. [default: small_cnn or catalog_mlp]"),
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            help="Galaxies in a step. [default: the default recipe's]",
        ),
        click.option(
            "--repeats",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help="Turns of each side.",
        ),
        options.backend,
        options.device,
        options.as_json,
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


@command.command(name="input")
@_shared
@click.option("--steps", type=click.IntRange(min=1), default=30, show_default=True,
              help="Steps in a turn.")  # fmt: skip
def input_command(as_json: bool, steps: int, repeats: int, **chosen: Any) -> None:
    """Say whether the device waits for data.

    Trains on SURVEY and on ready-made batches of it in memory, in turns. [default: the
    spectroscopic mock survey, built on the way]
    """
    from kphotoz.training import timing

    sample, *job = _job(**chosen)
    times = timing.time_input(sample, *job, steps=steps, repeats=repeats)
    if as_json:
        click.echo(json.dumps(times))
        return
    _table(times)
    low, high = times["ratio_range"]
    click.echo(f"survey over memory {times['ratio']:.3f} ({low:.3f} to {high:.3f})")
    share = 1 - 1 / times["ratio"]
    verdict = {
        False: "The device does not wait for data.",
        True: f"The device waits for data {share:.0%} of the time.",
        None: "Not clear: other work slows some turns. Repeat it, with more --repeats.",
    }
    click.echo(verdict[timing.waits(times)])


@command.command(name="step")
@_shared
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True,
              help="Steps in a turn.")  # fmt: skip
def step_command(as_json: bool, steps: int, repeats: int, **chosen: Any) -> None:
    """Time a training step with and without jit, in float32 and what is chosen.

    What is chosen is mixed_bfloat16 where the device multiplies it fast, or what
    --precision says. The batch comes from SURVEY and stays in memory. [default: the
    spectroscopic mock survey, built on the way]
    """
    from kphotoz.training import timing

    sample, *job = _job(**chosen)
    times = timing.time_steps(sample, *job, steps=steps, repeats=repeats)
    if as_json:
        click.echo(json.dumps(times))
        return
    _table(times)
    best = min(times["step_seconds"], key=times["step_seconds"].get)
    click.echo(f"Fastest: {best}.")


def _job(survey: str | None, model: str | None, batch_size: int | None) -> tuple:
    """Returns a training sample, an architecture and training settings."""
    from kphotoz import data, recipes
    from kphotoz.training.settings import Training

    recipe = recipes.load()
    given = {} if survey else {"count": _COUNT}
    sample = data.open_survey(survey or recipe.target.survey, **given)["train"]
    network = {"image": "small_cnn", "catalog": "catalog_mlp"}[sample.info.kind]
    size = batch_size or recipe.training.batch_size
    return sample, {"name": model or network}, Training(batch_size=size)


def _table(times: dict[str, Any]) -> None:
    for name, seconds in times["step_seconds"].items():
        rate = times["examples_per_second"][name]
        click.echo(
            f"{name:>20} {1000 * seconds:8.1f} ms a step, {rate:7.0f} galaxies/s"
        )

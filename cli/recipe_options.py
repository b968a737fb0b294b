"""Options of `fit` and `compare`, turned into one resolved recipe."""

import pathlib
from collections.abc import Callable
from typing import Any

import click

from kphotoz import recipes
from kphotoz_cli import options
from kphotoz_cli.file_options import file_options


def recipe_options(function: Callable) -> Callable:
    """Adds the recipe argument and the options that change its fields."""
    decorators = (
        click.argument("recipe", default=None, required=False),
        click.option("--quick", is_flag=True, help="Small samples, few epochs."),
        click.option("--full", is_flag=True, help="Rates searched, more seeds."),
        click.option(
            "--data",
            "data_file",
            type=click.Path(path_type=pathlib.Path),
            help="Your target: HDF5, NPZ, a folder of FITS cutouts, or survey.yaml.",
        ),
        click.option(
            "--source",
            "source_name",
            help="Sample with imperfect labels: a survey's name or a file.",
        ),
        file_options,
        options.settings,
        options.resume,
        options.backend,
        options.precision,
        options.as_json,
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def resolve(
    name: str | None,
    *,
    quick: bool,
    full: bool,
    data_file: pathlib.Path | None,
    source_name: str | None,
    file_spec: Callable[[pathlib.Path], Any],
    settings: tuple[str, ...],
    overlay: dict[str, Any],
) -> recipes.Recipe:
    """Returns the recipe of a command line, importing the user's files on the way."""
    if quick and full:
        raise click.UsageError("--quick and --full exclude each other.")
    profile = "quick" if quick else "full" if full else None
    name = name or ("cutouts" if data_file else recipes.DEFAULT)
    if data_file is not None:
        overlay["target"] = {"survey": _import(data_file, file_spec), "options": {}}
    if source_name is not None:
        source = pathlib.Path(source_name)
        survey = _import(source, file_spec) if source.exists() else source_name
        overlay["source"] = {"survey": survey, "options": {}}
    recipe = recipes.load(name, profile=profile, overlay=overlay, settings=settings)
    if recipe.target.survey == "given by --data":
        raise click.UsageError(f"Recipe {name} needs --data FILE.")
    return recipe


def _import(path: pathlib.Path, file_spec: Callable[[pathlib.Path], Any]) -> str:
    from kphotoz import data

    return data.import_file(file_spec(path))

"""Options of `fit` and `compare`, turned into one resolved recipe."""

import pathlib
from collections.abc import Callable
from typing import Any

import click

from kphotoz import recipes
from kphotoz.errors import InputError
from kphotoz.files import exists
from kphotoz_cli import options
from kphotoz_cli.file_options import FileOptions, file_options, is_file


def recipe_options(function: Callable) -> Callable:
    """Adds the recipe argument and the options that change its fields."""
    decorators = (
        click.argument("recipe", default=None, required=False),
        click.option("--quick", is_flag=True, help="Small samples, few epochs."),
        click.option(
            "--full",
            is_flag=True,
            help="Large samples; in compare rates searched and more seeds.",
        ),
        click.option(
            "--profile", metavar="NAME,…", help="Named changes inside the recipe."
        ),
        click.option("--reverse", is_flag=True, help="Exchange source and target."),
        click.option(
            "--data",
            "target",
            metavar="FILE|SURVEY",
            help="Sample with exact labels: HDF5, NPZ, a folder of FITS cutouts, a "
            "table of magnitudes or fluxes, survey.yaml, or a survey's name.",
        ),
        click.option(
            "--source",
            metavar="FILE|SURVEY",
            help="Sample with imperfect labels, given in the same way.",
        ),
        file_options,
        options.settings,
        options.resume,
        options.backend,
        options.device,
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
    profile: str | None,
    reverse: bool,
    target: str | None,
    source: str | None,
    file_spec: FileOptions,
    settings: tuple[str, ...],
    overlay: dict[str, Any],
) -> recipes.Recipe:
    """Returns the recipe of a command line, importing the user's files on the way."""
    if quick and full:
        raise click.UsageError("--quick and --full exclude each other.")
    profiles = [part.strip() for part in (profile or "").split(",") if part.strip()]
    profiles += ["quick"] * quick + ["full"] * full
    roles = (("target", target), ("source", source))
    inputs = {role: given for role, given in roles if given is not None}
    file_spec.check(any(map(is_file, inputs.values())))
    for role, given in inputs.items():
        overlay[role] = {"survey": _survey(given, file_spec)}
    name = name or _default(overlay)
    recipe = recipes.load(name, profiles=profiles, overlay=overlay, settings=settings)
    if not recipe.target.survey:
        raise click.UsageError(f"Recipe {name} needs --data FILE or SURVEY.")
    return recipes.reverse(recipe) if reverse else recipe


def _default(overlay: dict[str, Any]) -> str:
    """Returns the recipe for a user's surveys, or the embedded one without any."""
    from kphotoz import data

    if "target" not in overlay:
        return recipes.DEFAULT
    if data.describe_survey(overlay["target"]["survey"]).kind == "image":
        return "cutouts"
    return "tabular_transfer" if "source" in overlay else "catalog"


def _survey(given: str, file_spec: FileOptions) -> str:
    """Returns the name of a survey; a file is imported first."""
    from kphotoz import files_in

    path = pathlib.Path(given)
    if not is_file(given):
        return given
    if not exists(path):
        raise InputError(f"Wanted: a file or a survey. Received: {given}, not there.")
    return files_in.import_file(file_spec(path))

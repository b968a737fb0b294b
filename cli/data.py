"""`kphotoz data`: what surveys there are, what they declare, and importing files."""

import json
import pathlib
from typing import Any

import click

from kphotoz_cli import options
from kphotoz_cli.file_options import FileOptions, file_options


@click.group(name="data")
def command() -> None:
    """List, describe, build and import surveys."""


@command.command(name="list")
@options.backend
@options.as_json
def list_command(as_json: bool) -> None:
    """List the surveys by name, imported files included."""
    from kphotoz import data

    names = data.list_surveys()
    click.echo(json.dumps(names) if as_json else "\n".join(names))


@command.command()
@click.argument("survey")
@click.option("--option", "settings", multiple=True, metavar="KEY=VALUE",
              help="Option of the survey, for example count=1000.")  # fmt: skip
@options.backend
@options.as_json
def describe(survey: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Print units, bands, counts, licence and acknowledgement of SURVEY."""
    from kphotoz import data

    _print(data.describe_survey(survey, **_settings(settings)), as_json)


@command.command()
@click.argument("surveys", nargs=-1, required=True)
@click.option("--option", "settings", multiple=True, metavar="KEY=VALUE",
              help="Option of the surveys, for example count=1000.")  # fmt: skip
@options.resume
@options.backend
@options.as_json
def build(
    surveys: tuple[str, ...], settings: tuple[str, ...], resume: bool, as_json: bool
) -> None:
    """Build SURVEYS where they are missing.

    A killed build is begun anew, with --resume or without, and ends in the same bytes;
    what it left aside is removed first.
    """
    from kphotoz import data

    for survey in surveys:
        samples = data.open_survey(survey, **_settings(settings))
        _print(samples["train"].info, as_json)


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@file_options
@options.resume
@options.backend
@options.as_json
def import_command(
    file: pathlib.Path, file_spec: FileOptions, resume: bool, as_json: bool
) -> None:
    """Import FILE: HDF5, NPZ, a folder of FITS cutouts with a table, or survey.yaml.

    A table of photometry (CSV, TSV, ECSV, FITS or parquet) needs --magnitudes and
    --magnitude-errors, or --fluxes and --flux-errors, and --bands in their order.

    What was imported before and did not change is not built again; a killed import is
    begun anew, with --resume or without.
    """
    from kphotoz import data, files_in

    name = files_in.import_file(file_spec(file))
    _print(data.describe_survey(name), as_json)


def _settings(pairs: tuple[str, ...]) -> dict[str, str]:
    from kphotoz.errors import InputError

    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise InputError(
                f"Wanted: --option KEY=VALUE. Received: {pair!r}. Example: "
                "--option count=1000"
            )
        settings[key] = value
    return settings


def _print(info: Any, as_json: bool) -> None:
    rows = {
        "survey": info.name,
        "kind": info.kind,
        "bands": list(info.bands),
        "pixel_scale": info.pixel_scale,
        "unit": info.unit,
        "image_size": info.image_size,
        "label_kind": info.label_kind,
        "counts": info.counts,
    }
    shown = ("zero_point", "magnitude_system", "filters", "psf_fwhm", "extinction")
    given = tuple(key for key in info.metadata if key.startswith("given_"))
    for key in (*shown, *given, "left_out", "caveat", "licence", "acknowledgement"):
        rows[key] = info.metadata.get(key) or None
    if as_json:
        click.echo(json.dumps(rows))
        return
    for key, value in rows.items():
        if isinstance(value, dict):
            counts = [f"{number} {name}" for name, number in value.items()]
            value = ", ".join(counts) or "not built"
        elif isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        elif key == "pixel_scale" and value is not None:
            value = f"{value:g} arcsec"
        is_told = ("licence",) if info.kind == "catalog" else ("pixel_scale", "licence")
        if value is not None or key in is_told:
            click.echo(f"{key:<22} {'unknown' if value is None else value}")
    click.echo()

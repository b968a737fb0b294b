"""Options that say how to read a user's own file of cutouts."""

import functools
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kphotoz.data.file_spec import FileSpec

# Options of text that become fields of a FileSpec of the same name.
_TEXT = {
    "unit": "Unit of the pixel values, for example nanomaggy.",
    "magnitude_system": "AB, Vega, …",
    "extinction": "Galactic: none, deredden, input or unknown.",
    "label_kind": "What the redshifts are: spectroscopic, photometric, …",
    "table": "Table of a folder of FITS cutouts. [default: the only one]",
    "name": "Name of the survey. [default: the file's]",
    "licence": "Terms of the data.",
    "acknowledgement": "What to print in a paper.",
}
_NUMBERS = {
    "zero_point": "Magnitude of a flux of 1: one, or one per band.",
    "psf_fwhm": "Seeing [arcsec]: one, or one per band.",
    "ab_offset": "Offset to AB [mag]: one, or one per band.",
    "extinction_coefficient": "A/E(B-V) [mag]: one, or one per band.",
    "splits": "Fractions of train,validation,calibration,test.",
}


def reading_options(function: Callable) -> Callable:
    """Adds the options that reading needs; passes `file_spec` to the function.

    `file_spec(path, **fields)` returns the FileSpec of a file, or of a YAML file that
    describes one; options given on the command line win over the YAML file.
    """
    return _collected(function, [*_reading(), _text("table")])


def file_options(function: Callable) -> Callable:
    """Adds the options that importing needs; passes `file_spec` as above."""
    more = [_text(name) for name in _TEXT] + [_listed(name) for name in _NUMBERS]
    more += [
        click.option("--filters", metavar="ID,…", help="Filter ids, one per band."),
        click.option(
            "--photometry",
            type=click.Choice(["declared", "unknown"]),
            help="unknown: what is not declared is unknown.",
        ),
        click.option(
            "--skip-bad",
            is_flag=True,
            default=None,
            help="Leave out unusable rows and list them.",
        ),
        click.option(
            "--split-seed", "split_seed", type=int, help="Seed of the split. [0]"
        ),
    ]
    return _collected(function, _reading() + more)


def _reading() -> list[Callable]:
    return [
        click.option(
            "--key",
            "keys",
            multiple=True,
            metavar="ROLE=NAME",
            help="Where a role is: image, redshift, redshift_error, z_true, id, "
            "group, magnitude, ra or dec. NAME[I] is column I of an array.",
        ),
        click.option(
            "--layout",
            type=click.Choice(["auto", "band_first", "band_last"]),
            help="Order of the image's axes. [default: auto]",
        ),
        click.option("--bands", metavar="B,…", help="Band names in the file's order."),
        click.option("--pixel-scale", metavar="ARCSEC", help="Size of a pixel."),
    ]


def _text(name: str) -> Callable:
    return click.option(f"--{name.replace('_', '-')}", name, help=_TEXT[name])


def _listed(name: str) -> Callable:
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, name, metavar="X,…", help=_NUMBERS[name])


def _collected(function: Callable, decorators: list[Callable]) -> Callable:
    names: list[str] = []

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        fields = {name: kwargs.pop(name) for name in names}
        return function(*args, file_spec=functools.partial(_spec, fields), **kwargs)

    before = len(getattr(run, "__click_params__", []))
    for decorator in reversed(decorators):
        run = decorator(run)
    names += [parameter.name for parameter in run.__click_params__[before:]]
    return run


def _spec(given: dict[str, Any], path: str | pathlib.Path, **fields: Any) -> "FileSpec":
    from kphotoz.data.file_spec import FileSpec
    from kphotoz.errors import InputError

    known = {name: value for name, value in given.items() if value not in (None, ())}
    if "keys" in known:
        pairs = [item.partition("=") for item in known["keys"]]
        wrong = [role for role, equals, name in pairs if not (equals and name)]
        if wrong:
            raise InputError(
                f"Wanted: --key ROLE=NAME. Received: {wrong[0]!r}. Example: "
                "--key redshift=zspec"
            )
        known["keys"] = {role: name for role, _, name in pairs}
    for name in ("bands", "filters", *_NUMBERS):
        if known.get(name, "unknown") != "unknown":
            items = tuple(item.strip() for item in known[name].split(","))
            single = len(items) == 1 and name not in ("bands", "filters", "splits")
            known[name] = items[0] if single else items
    if "split_seed" in known:
        known["seed"] = known.pop("split_seed")
    path = pathlib.Path(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return FileSpec.from_yaml(path, **known | fields)
    return FileSpec.create(**{"file": path} | known | fields)

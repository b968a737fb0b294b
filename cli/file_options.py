"""Options that say how to read a user's own cutouts or table of photometry."""

import functools
import pathlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from kphotoz.files import exists

if TYPE_CHECKING:
    from kphotoz.files_in.survey_spec import SurveySpec

# Options of text that become fields of a spec of the same name.
_TEXT = {
    "label_kind": "What the redshifts are: spectroscopic, …; none without any.",
    "table": "Table of a folder of FITS cutouts. [default: the only one]",
    "name": "Name of the survey. [default: the file's]",
    "licence": "Terms of the data.",
    "acknowledgement": "What to print in a paper.",
}
_NUMBERS = {
    "psf_fwhm": "Seeing [arcsec]: one, or one per band.",
    "extinction_coefficient": "A/E(B-V) [mag]: one, or one per band.",
    "splits": "Fractions of train,validation,calibration,test.",
}
# What reading a table of photometry needs, also for prediction.
_PHOTOMETRY = {
    "unit": "Unit of pixels or fluxes: nanomaggy, uJy, …",
    "magnitude_system": "AB, Vega, …",
    "magnitude_type": "pogson, asinh or unknown.",
    "maximum_magnitude_error": "Magnitudes with larger errors are not observed.",
    "extinction": "Galactic: none, deredden, input or unknown.",
    "reference_band": "Band of the column `magnitude`. [default: i, else the middle]",
}
_COLUMNS = {
    "magnitudes": "Columns of a table, one per band; COL[I] is entry I of arrays.",
    "magnitude_errors": "Their errors, one per band.",
    "fluxes": "Columns of fluxes instead, one per band.",
    "flux_errors": "Their errors, one per band.",
    "extinction_columns": "Galactic extinction [mag] to subtract, one per band.",
}
_PER_BAND = {
    "zero_point": "Magnitude of a flux of 1: one, or one per band.",
    "ab_offset": "AB magnitude minus the given one: one, or one per band.",
    "softening": "b of asinh magnitudes [maggy]: one, one per band, or sdss.",
}
_LISTS = ("bands", "filters", "splits", *_COLUMNS)


class FileOptions:
    """What a command line says about the files among its inputs.

    Called with a path it returns the spec of the file, or of a YAML file that describes
    one: a catalogue's where columns of photometry are given, else that of cutouts.
    Options win over the YAML file, and fields over them.

    Args:
        given: dict. The options by name, None or () where they were not given.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        """Keeps the options that were given."""
        given = {key: None if value == () else value for key, value in given.items()}
        self._given = {key: value for key, value in given.items() if value is not None}

    def __call__(self, path: str | pathlib.Path, **fields: Any) -> "SurveySpec":
        """Returns the spec of a file, with these fields besides."""
        from kphotoz.files_in.specs import make_spec

        known = dict(self._given)
        if "keys" in known:
            known["keys"] = _roles(known["keys"])
        for name in dict.fromkeys((*_LISTS, *_NUMBERS, *_PER_BAND)):
            if known.get(name, "unknown") != "unknown":
                items = tuple(item.strip() for item in known[name].split(","))
                many = name in _LISTS or len(items) > 1
                known[name] = items if many else items[0]
        if "split_seed" in known:
            known["seed"] = known.pop("split_seed")
        return make_spec(path, **known | fields)

    def check(self, has_file: bool) -> None:
        """Checks that there is a file to describe, if anything is said.

        Args:
            has_file: bool. Whether an input is a file.

        Raises:
            InputError: what is said would have no effect.
        """
        from kphotoz.errors import InputError

        if has_file or not self._given:
            return
        flags = [f"--{name.replace('_', '-')}" for name in sorted(self._given)]
        them = ", ".join("--key" if flag == "--keys" else flag for flag in flags)
        raise InputError(
            f"Wanted: a file that {them} can describe. Received: none, and a survey is "
            "described when it is built or imported. Name a file, or leave that out."
        )


def reading_options(function: Callable) -> Callable:
    """Adds the options that reading needs; passes `file_spec` to the function.

    `file_spec` is a FileOptions.
    """
    return _collected(function, [*_reading(), _text("table", _TEXT)])


def file_options(function: Callable) -> Callable:
    """Adds the options that importing needs; passes `file_spec` as above."""
    more = [_text(name, _TEXT) for name in _TEXT]
    more += [_text(name, _NUMBERS, "X,…") for name in _NUMBERS]
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
        *(_text(name, _COLUMNS, "COL,…") for name in _COLUMNS),
        *(_text(name, _PER_BAND, "X,…") for name in _PER_BAND),
        *(_text(name, _PHOTOMETRY) for name in _PHOTOMETRY),
    ]


def _text(name: str, helps: dict[str, str], metavar: str | None = None) -> Callable:
    flag = f"--{name.replace('_', '-')}"
    return click.option(flag, name, metavar=metavar, help=helps[name])


def _collected(function: Callable, decorators: list[Callable]) -> Callable:
    names: list[str] = []

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = FileOptions({name: kwargs.pop(name) for name in names})
        return function(*args, file_spec=given, **kwargs)

    before = len(getattr(run, "__click_params__", []))
    decorated: Any = run
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    names += [parameter.name for parameter in decorated.__click_params__[before:]]
    return decorated


def _roles(pairs: tuple[str, ...]) -> dict[str, str]:
    from kphotoz.errors import InputError

    parts = [item.partition("=") for item in pairs]
    wrong = [role for role, equals, name in parts if not (equals and name)]
    if wrong:
        raise InputError(
            f"Wanted: --key ROLE=NAME. Received: {wrong[0]!r}. Example: "
            "--key redshift=zspec"
        )
    return {role: name for role, _, name in parts}


def find_sources(
    inputs: Iterable[str], file_spec: FileOptions
) -> list["SurveySpec | str"]:
    """Returns the spec of each file, or the name of each survey, as it may be.

    Raises:
        InputError: there is no such file; or none, but options describe one.
    """
    sources = [_find_source(name, file_spec) for name in inputs]
    file_spec.check(any(not isinstance(source, str) for source in sources))
    return sources


def is_file(name: str) -> bool:
    """Returns whether an input is a file, there or not, and not a survey's name.

    One that cannot be looked at is: reading it tells why.
    """
    from kphotoz.files_in.file_spec import SUFFIXES

    path = pathlib.Path(name)
    return exists(path) or path.suffix.lower() in SUFFIXES


def _find_source(name: str, file_spec: FileOptions) -> "SurveySpec | str":
    from kphotoz import data

    path = pathlib.Path(name)
    if is_file(name):
        return file_spec(path)
    builder = name.partition("/")[0]
    if builder not in {survey.partition("/")[0] for survey in data.list_surveys()}:
        return file_spec(path)  # which says that there is no such file
    return name

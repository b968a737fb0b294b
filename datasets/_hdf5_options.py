"""The options of the surveys in GalaxiesML's layout, and the configurations they name.

Defaults are the published selection (Do et al. 2024, arXiv 2410.00271) where there is
one. A changed option enters the configuration's name as a hash of all changed ones.
"""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds

from kphotoz.errors import InputError, unknown

__all__ = ["OPTIONS", "SIZES", "HDF5Config", "named_configs", "configured"]

SIZES = {"images_64": 64, "images_127": 127, "magnitudes": 64}


@dataclasses.dataclass(eq=False)
class HDF5Config(tfds.core.BuilderConfig):
    """One of images_64, images_127 and magnitudes, with its options.

    Args:
        image_size: int. Pixels a side; of magnitudes the size that neighbours count by.
        images: bool. Whether the survey holds images, or photometry.
        options: dict. Every option of the survey with its value.
    """

    image_size: int = 64
    images: bool = True
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Option:
    """One option.

    Args:
        default: its value where none is given.
        wanted: str. What it takes, for errors and documents.
        read: callable. Returns the value of what was given; raises ValueError.
    """

    default: Any
    wanted: str
    read: Callable[[Any], Any]


def _number(value: Any) -> float | None:
    if value is None or str(value).lower() == "none":
        return None
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError(value)
    return float(value)


def _positive(value: Any) -> float | None:
    number = _number(value)
    if number is not None and number <= 0:
        raise ValueError(value)
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if number is None or not 0 <= number < 1:
        raise ValueError(value)
    return number


def _flag(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split("+") if isinstance(value, str) else list(value)
    return tuple(sorted({str(part).strip().upper() for part in parts if str(part)}))


def _text(value: Any) -> str:
    return str(value)


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(value)
        return value

    return read


def _cut(default: float, wanted: str) -> Option:
    return Option(default, f"{wanted}, or none for no cut", _number)


_ALL = {
    "z_min": _cut(0.01, "a redshift that labels must exceed"),
    "z_max": _cut(4.0, "a redshift that labels must stay below"),
    "magnitude_min": _cut(0.0, "an AB magnitude that all five bands must exceed"),
    "magnitude_max": _cut(50.0, "an AB magnitude that all five must stay below"),
    "sentinels": Option("drop", "drop or keep", _choice("drop", "keep")),
    "duplicates": Option("first", "first or keep", _choice("first", "keep")),
    "calibration": Option(0.0, "a share of the validation file from 0 to 1", _share),
    "neighbours": Option("drop", "drop or keep", _choice("drop", "keep")),
    "neighbour_radius": Option(
        None, "arcsec > 0, or none for a cutout's side", _positive
    ),
    "manual_dir": Option("", "a folder", _text),
}
_SPECTROSCOPIC = {
    "error_max": _cut(1.0, "a redshift error that labels' errors must stay below"),
    "relative_error_max": _cut(0.005, "the same as a multiple of 1 + z"),
    "secure": Option(False, "true or false", _flag),
    "source_surveys": Option((), "names of surveys joined by +", _names),
    "mirror": Option("", "the address of a folder with the files", _text),
}
_UNION = {
    "match": Option("position", "position or id", _choice("position", "id")),
    "radius": Option(1.0, "arcsec > 0", _positive),
}
# Survey -> its options.
OPTIONS: dict[str, dict[str, Option]] = {
    "galaxies_ml": _ALL | _SPECTROSCOPIC,
    "transfer_z": _ALL,
    "combined_z": _ALL | _SPECTROSCOPIC | _UNION,
}
_TITLES = {
    "images_64": "64 x 64 pixels",
    "images_127": "127 x 127 pixels",
    "magnitudes": "CModel photometry, no images",
}


@functools.cache  # TFDS wants one object for one name
def named_configs(survey: str) -> dict[str, HDF5Config]:
    """Returns the configurations of a survey with the published selection.

    Args:
        survey: str. A key of `OPTIONS`.
    """
    return {
        name: HDF5Config(
            name=name,
            description=title,
            image_size=SIZES[name],
            images=name != "magnitudes",
            options={key: option.default for key, option in OPTIONS[survey].items()},
        )
        for name, title in _TITLES.items()
    }


def configured(survey: str, name: str, options: dict[str, Any]) -> HDF5Config:
    """Returns a configuration with options changed, and a name that says so.

    Args:
        survey: str. A key of `OPTIONS`.
        name: str. "images_64", "images_127" or "magnitudes".
        options: names of options to values, or to values as text.

    Raises:
        InputError: an unknown name or option, or a value that cannot be.
    """
    known = OPTIONS[survey]
    if name not in SIZES:
        raise unknown(f"configuration of {survey}", name, SIZES)
    changed = {}
    for key, given in options.items():
        if key not in known:
            raise unknown(f"option of {survey}", key, known)
        try:
            value = known[key].read(given)
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"Wanted: {known[key].wanted} for `{key}` of {survey}. "
                f"Received: {given!r}."
            ) from None
        if value != known[key].default:
            changed[key] = value
    return _changed(survey, name, tuple(sorted(changed.items())))


@functools.cache
def _changed(survey: str, name: str, changed: tuple) -> HDF5Config:
    plain = named_configs(survey)[name]
    if not changed:
        return plain
    digest = hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:10]
    text = ", ".join(f"{key}={value}" for key, value in changed)
    fields: dict[str, Any] = {
        "name": f"{name}-{digest}",
        "description": f"{plain.description}; {text}",
    }
    return dataclasses.replace(plain, options=plain.options | dict(changed), **fields)

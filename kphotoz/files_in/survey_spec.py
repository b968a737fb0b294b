"""What a user says about a file of any kind: what images and catalogues share."""

import hashlib
import json
import os
import pathlib
import re
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
import yaml

from kphotoz.errors import InputError
from kphotoz.untrusted.yaml_text import parse_yaml

__all__ = ["LABEL_ROLES", "UNITS", "Finite", "Numbers", "Positive", "SurveySpec"]
__all__ += ["Unknown", "overlaid", "read_yaml"]

# Role -> names that are taken for it without a mapping, in order of preference. A
# column `z` is not among them: in many catalogues it is a magnitude.
LABEL_ROLES = {
    "redshift": ("redshift",),
    "redshift_error": ("redshift_error", "redshift_err"),
    "z_true": ("z_true",),
    "id": ("id", "object_id"),
    "group": ("group", "source_group"),
    "magnitude": ("magnitude",),
    "ra": ("ra",),
    "dec": ("dec",),
}

# Unit -> AB magnitude of a flux of 1. 1 Jy is 8.90 and a maggy is magnitude 0.
UNITS = {"Jy": 8.9, "mJy": 16.4, "uJy": 23.9, "nJy": 31.4}
UNITS |= {"maggy": 0.0, "nanomaggy": 22.5}

Unknown = Literal["unknown"]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Numbers = tuple[Finite, ...]


class SurveySpec(pydantic.BaseModel):
    """A file and how to read it; each kind of file adds its own fields.

    Args:
        file: path.
        name: str or None. Name of the survey. [default: the file's name]
        keys: dict of role to key. `NAME[I]` is column I of a two-dimensional array.
            Roles: redshift, redshift_error, z_true (of simulations), id, group,
            magnitude, ra, dec.
        bands: tuple of str or None. Band names in the file's order.
        unit: str. Unit of the fluxes, for example "nanomaggy".
        zero_point: float or one per band [mag]. Magnitude of a flux of 1.
        magnitude_system: str. "AB", "Vega", …
        filters: tuple of str. Filter ids, one per band.
        ab_offset: float or one per band [mag]. AB magnitude minus the given one; added
            to the zero point of cutouts.
            [default: none]
        extinction_coefficient: float or one per band [mag per E(B-V)]. [default: none]
        extinction: "none", "deredden", "input" or "unknown".
        label_kind: str. "spectroscopic", "photometric", …; "none" where there are no
            redshifts, or they shall not be read. [default: "unknown"]
        photometry: "declared", or "unknown": what is not declared is unknown.
        skip_bad: bool. Leave out rows that cannot be used.
        splits: fractions of the groups in each split, which add up to 1.
        seed: int >= 0. Seed of the split.
        licence: str. Terms of the data.
        acknowledgement: str. What to print in a paper.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    # What the file is, in words; its roles; what is declared of each band.
    KIND: ClassVar[str] = "a file"
    ROLES: ClassVar[dict[str, tuple[str, ...]]] = LABEL_ROLES
    PER_BAND: ClassVar[tuple[str, ...]] = (
        "zero_point",
        "filters",
        "ab_offset",
        "extinction_coefficient",
    )

    file: pathlib.Path
    name: str | None = None
    keys: dict[str, str] = {}
    bands: tuple[str, ...] | None = None
    unit: str | None = None
    zero_point: Numbers | Finite | Unknown | None = None
    magnitude_system: str | None = None
    filters: tuple[str, ...] | Unknown | None = None
    ab_offset: Numbers | Finite | None = None
    extinction_coefficient: Numbers | Finite | None = None
    extinction: Literal["none", "deredden", "input", "unknown"] | None = None
    label_kind: str = "unknown"
    photometry: Literal["declared", "unknown"] = "declared"
    skip_bad: bool = False
    splits: tuple[float, float, float, float] = (0.6, 0.12, 0.08, 0.2)
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**32)] = 0
    licence: str = "unknown"
    acknowledgement: str = ""

    @classmethod
    def create(cls, **fields: Any) -> Self:
        """Returns a spec; what is wrong with the fields is told in one line.

        Raises:
            InputError: a field is missing, unknown or has an impossible value.
        """
        try:
            return cls(**fields)
        except pydantic.ValidationError as error:
            problems = [
                f"{'.'.join(map(str, item['loc'])) or 'fields'}: {item['msg']}"
                for item in error.errors(include_url=False, include_context=False)
            ]
            raise InputError(
                f"Wanted: a usable description of {cls.KIND}. Received: "
                f"{'; '.join(dict.fromkeys(problems))}. Correct these fields."
            ) from error

    @classmethod
    def from_yaml(cls, path: str | os.PathLike, **fields: Any) -> Self:
        """Returns the spec in a YAML file; `file` is relative to the YAML's folder.

        Args:
            path: path of the YAML file.
            fields: fields that take precedence over the file's, of `keys` role by role.

        Raises:
            InputError: not YAML, or a field is wrong.
        """
        return cls.create(**overlaid(read_yaml(path), fields))

    @pydantic.field_validator("file")
    @classmethod
    def _possible_name(cls, path: pathlib.Path) -> pathlib.Path:
        try:
            path.exists()
        except OSError as error:  # a name that no file can have
            raise ValueError(error.strerror) from error
        return path

    @pydantic.field_validator("keys")
    @classmethod
    def _known_roles(cls, keys: dict[str, str]) -> dict[str, str]:
        for role in keys:
            if role not in cls.ROLES:
                raise ValueError(
                    f"unknown role {role!r}; roles are {', '.join(cls.ROLES)}"
                )
        return keys

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bands:
            if len(set(self.bands)) != len(self.bands) or not all(self.bands):
                raise ValueError(f"bands must be distinct names, not {self.bands}")
            for field in self.PER_BAND:
                value = getattr(self, field)
                if isinstance(value, tuple) and len(value) != len(self.bands):
                    raise ValueError(
                        f"{field} has {len(value)} values for {len(self.bands)} bands"
                    )
        if not self.labelled and "redshift" in self.keys:
            raise ValueError("label_kind none has no redshift among its keys")
        total = sum(self.splits)
        if not (min(self.splits) >= 0 and abs(total - 1) < 1e-6):
            raise ValueError(f"splits must be >= 0 and add up to 1, not to {total}")
        return self

    def _check_unit(self) -> None:
        """Raises where unit and zero point are of different scales."""
        known = UNITS.get(self.unit or "")
        given = self.declared("zero_point", len(self.bands or "1"))
        if known is None or given is None:
            return
        if any(abs(value - known) > 0.01 for value in given):
            raise ValueError(
                f"zero_point {given} is not {self.unit}'s, {known:g}; give one"
            )

    def _check_system(self) -> None:
        """Raises where magnitudes are said not to be AB, and not how far from it."""
        system = (self.magnitude_system or "unknown").lower()
        if system not in ("ab", "unknown") and self.ab_offset is None:
            raise ValueError(
                f"magnitude_system {self.magnitude_system} needs ab_offset, AB "
                "magnitude minus the given one"
            )

    @property
    def title(self) -> str:
        """The survey's name: as given, else made from the file's name."""
        name = self.name or self.file.stem
        return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "file"

    @property
    def labelled(self) -> bool:
        """Whether the file's redshifts are read."""
        return self.label_kind != "none"

    def asked(self) -> tuple[str, ...]:
        """Returns the fields that must be declared, or said to be unknown."""
        return ("magnitude_system", "filters", "extinction")

    def check_photometry(self) -> None:
        """Checks that photometry is declared or said to be unknown.

        Raises:
            InputError: something is neither; says which.
        """
        missing = [name for name in self.asked() if getattr(self, name) is None]
        if missing and self.photometry != "unknown":
            raise InputError(
                f"Wanted: the photometry of {self.file.name}. Received: nothing on "
                f"{', '.join(missing)}. Give them (`unknown` is a value), or "
                "`--photometry unknown` for all of them."
            )

    def declared(self, field: str, bands: int = 0) -> Any:
        """Returns a field, None where it is unknown; per-band numbers as a list.

        Args:
            field: str. Name of the field.
            bands: int. Number of bands that one number stands for.
        """
        value = getattr(self, field)
        if value is None or value == "unknown":
            return None
        if isinstance(value, tuple):
            return list(value)
        return [value] * bands if field in self.PER_BAND else value

    def digest(self) -> str:
        """Returns the SHA-256 of the file's bytes and of what is said about it.

        The path plays no part: a moved file is the same survey. Nor do hidden files in
        a folder, which are no part of a survey. Links in it are followed.

        Raises:
            InputError: the file is missing or unreadable.
        """
        said = self.model_dump(mode="json", exclude={"file", "name"})
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        try:
            for name, path in sorted(self._files().items()):
                if self.file.is_dir():
                    digest.update(os.fsencode(name))
                digest.update(path if isinstance(path, bytes) else _hashed(path))
        except OSError as error:
            raise InputError(
                f"Wanted: {self.KIND}. Received: {error.filename or self.file}: "
                f"{error.strerror or error}. Check the path."
            ) from error
        return digest.hexdigest()

    def _files(self) -> "_Files":
        """Returns what is read, by its name in the folder if it is one."""
        if self.file.is_dir():
            return _files_in(self.file)
        return {pathlib.PurePath(self.file.name): self.file}


_Files = dict[pathlib.PurePath, pathlib.Path | bytes]


def _files_in(top: pathlib.Path) -> _Files:
    """Returns files that are not hidden, by name, through links to folders as well.

    A folder is entered once, for links may lead in circles; where another link leads
    to it stands the name by which it was entered.
    """
    files: _Files = {}
    entered: dict[str, bytes] = {}
    for folder, inner, names in os.walk(top, followlinks=True):
        name = pathlib.PurePath(folder).relative_to(top)
        itself = os.fsencode(name)
        first = entered.setdefault(os.path.realpath(folder), itself)
        if first != itself:
            files[name] = first
            inner.clear()
            continue
        inner[:] = sorted(one for one in inner if not one.startswith("."))
        paths = (pathlib.Path(folder, one) for one in names if not one.startswith("."))
        files |= {name / path.name: path for path in paths if path.is_file()}
    return files


def _hashed(path: pathlib.Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def overlaid(known: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Returns fields of which those given take precedence, of `keys` role by role.

    Args:
        known: fields, as `read_yaml` returns them.
        fields: fields that are given besides.
    """
    old, new = known.get("keys"), fields.get("keys")
    if isinstance(old, dict) and isinstance(new, dict):
        fields = fields | {"keys": old | new}
    return known | fields


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the fields in a YAML file; empty ones count as not given.

    Args:
        path: path of the YAML file.

    Raises:
        InputError: it is not YAML, or does not hold fields.
    """
    path = pathlib.Path(path)
    try:
        # The base loader makes text only: bands named y, n or on stay names.
        text = path.read_text(encoding="utf-8")
        loaded = parse_yaml(text, yaml.BaseLoader)
        json.dumps(loaded, ensure_ascii=False).encode()  # half a character is no text
    except (OSError, ValueError) as error:
        raise InputError(
            f"Wanted: a YAML description of a survey. Received: {path}: "
            f"{' '.join(str(error).split())}. Correct the file."
        ) from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"Wanted: fields such as `file:` and `bands:` in {path}. "
            f"Received: {type(loaded).__name__}. Write one field a line."
        )
    empty = ("", "~", "null")
    known = {str(key): value for key, value in loaded.items() if value not in empty}
    if isinstance(known.get("file"), str):
        known["file"] = path.parent / known["file"]
    return known

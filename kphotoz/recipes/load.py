"""Finds a recipe by name or path, overlays its profile and settings, validates it."""

import pathlib
from collections.abc import Iterable
from typing import Any

import pydantic
import yaml

from kphotoz.errors import InputError, unknown
from kphotoz.recipes.schema import Recipe
from kphotoz.untrusted.yaml_text import parse_yaml

__all__ = ["DEFAULT", "dump", "load", "names", "parse_settings", "reverse"]

DEFAULT = "mock_hsc"
_FOLDER = pathlib.Path(__file__).parent
_LIMIT = 1 << 20  # bytes; a recipe is a page of text (our choice)


def names() -> list[str]:
    """Returns the names of the shipped recipes."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load(
    name: str = DEFAULT,
    *,
    profiles: Iterable[str] = (),
    overlay: dict[str, Any] | None = None,
    settings: Iterable[str] = (),
) -> Recipe:
    """Returns a validated recipe.

    Args:
        name: str. A shipped recipe, or the path of a YAML file.
        profiles: iterable of str, such as "quick": named changes inside the recipe,
            applied in this order.
        overlay: dict or None. Fields set by a command's options; a survey replaces
            the recipe's together with its options.
        settings: iterable of "dotted.key=value" strings, applied last.

    Raises:
        InputError: unknown recipe, profile or field, or a value of the wrong kind.
    """
    fields = _read(name)
    known = _named(fields.pop("profiles", {}), f"profiles of recipe {name!r}")
    for profile in profiles:
        if profile not in known:
            raise unknown(f"profile of recipe {name!r}", profile, known)
        changes = _named(known[profile], f"profile {profile!r} of recipe {name!r}")
        fields = _merge_profile(fields, changes)
    overlay = overlay or {}
    for role in ("source", "target"):
        # Another survey has other options, and other objects in common.
        if role in overlay:
            fields |= {role: None, "duplicates": None}
    fields = _merge(fields, overlay)
    for key, value in parse_settings(settings):
        fields = _merge(fields, _nested(key, value))
    fields.setdefault("name", pathlib.Path(name).stem)
    return _validate(fields, name)


def reverse(recipe: Recipe) -> Recipe:
    """Returns the recipe with source and target exchanged.

    The deployment sample stays the same survey; published numbers, which are of the
    other direction, are dropped.

    Raises:
        InputError: there is no source to exchange.
    """
    if recipe.source is None:
        raise InputError(
            "Wanted: a source and a target to exchange. Received: no source. "
            "Give --source."
        )
    other = {"source": "target", "target": "source"}
    where = recipe.deployment
    return recipe.model_copy(
        update={
            "title": f"{recipe.title}, reversed",
            "name": f"{recipe.name}_reversed",
            "source": recipe.target,
            "target": recipe.source,
            "deployment": where.model_copy(update={"sample": other[where.sample]}),
            "published": None,
        }
    )


def dump(recipe: Recipe) -> str:
    """Returns the recipe as YAML with every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def parse_settings(settings: Iterable[str]) -> list[tuple[str, Any]]:
    """Returns (dotted key, value) pairs; values are read as YAML scalars or lists."""
    pairs = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"Wanted: --set key=value. Received: {setting!r}. "
                "Example: --set training.epochs=30"
            )
        try:
            pairs.append((key.strip(), parse_yaml(value)))
        except ValueError as error:
            raise InputError(
                f"Wanted: a number, word or list after --set {key}=. "
                f"Received: {value!r}. Quote it or mend it."
            ) from error
    return pairs


def _read(name: str) -> dict[str, Any]:
    path = _FOLDER / f"{name}.yaml"
    if name not in names():
        path = pathlib.Path(name)
        if path.suffix not in (".yaml", ".yml"):
            raise unknown("recipe", name, names())
    try:
        if path.stat().st_size > _LIMIT:
            raise InputError(f"Wanted: a recipe below 1 MB. Received: {path}.")
        fields = parse_yaml(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"Wanted: a readable YAML recipe. Received: {path}: {reason}."
        ) from error
    if not isinstance(fields, dict):
        raise InputError(
            f"Wanted: a recipe with named fields. Received: {path} holds "
            f"{type(fields).__name__}. See docs/regimes.md."
        )
    if fields.get("adaptation") == {}:
        del fields["adaptation"]  # version 0.1 wrote it, for what `overrides` do
    return fields


def _named(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(
            f"Wanted: named fields in {what}. Received: {value!r:.80}. Write a mapping."
        )
    return value


def _merge_profile(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields changed; options of one survey do not outlive it."""
    for role in ("source", "target"):
        old, new = fields.get(role) or {}, changes.get(role) or {}
        if not (isinstance(old, dict) and isinstance(new, dict)):
            continue  # no surveys: the validation tells
        if new.get("survey", old.get("survey")) != old.get("survey"):
            fields = {**fields, role: None}
    return _merge(fields, changes)


def _merge(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(fields)
    for key, value in changes.items():
        old = merged.get(key)
        # Nothing is said of what an empty mapping holds: it takes the old one's place.
        if value and isinstance(old, dict) and isinstance(value, dict):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _validate(fields: dict[str, Any], name: str) -> Recipe:
    try:
        return Recipe.model_validate(fields)
    except pydantic.ValidationError as error:
        raise _field_error(error, name) from error


def _field_error(error: pydantic.ValidationError, name: str) -> InputError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return unknown(f"field {'.'.join(path)!r} of recipe {name!r}", path[-1],
                       _choices(path[:-1]))  # fmt: skip
    return InputError(
        f"Recipe {name!r}, field {'.'.join(path)}. Wanted: {first['msg']}. "
        f"Received: {first.get('input')!r:.80}."
    )


def _choices(path: list[str]) -> list[str]:
    model: Any = Recipe
    for part in path:
        if part.isdecimal():
            continue  # a place in a list of models, whose annotation names the model
        annotation = model.model_fields[part].annotation
        nested = [annotation, *getattr(annotation, "__args__", ())]
        model = next(n for n in nested if hasattr(n, "model_fields"))
    return list(model.model_fields)

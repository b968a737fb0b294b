"""YAML from strangers: data only, and no more of it than its text lets expect."""

from typing import Any

import yaml

__all__ = ["parse_yaml"]

_NODES = 200_000  # values in a YAML text once its aliases are written out; our choice
_LEVELS = 100  # of nesting; our choice
_DIGITS = 400  # of a number; our choice
_STUMBLES = (ValueError, LookupError, TypeError, AttributeError)
_TAGS = ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp")


def parse_yaml(text: str, loader: type = yaml.SafeLoader) -> Any:
    """Returns what a YAML text holds.

    Args:
        text: str.
        loader: a loader of PyYAML that runs no code: SafeLoader, or BaseLoader, which
            makes text only.

    Raises:
        ValueError: it is not YAML, is nested too deeply, or repeats itself by aliases
            until it is huge.
    """
    if not issubclass(loader, yaml.SafeLoader | yaml.BaseLoader):
        raise TypeError(f"`loader` must run no code. Received: {loader}.")
    try:
        node = yaml.compose(text, loader)
        _count(node, {}, 0)
        return yaml.load(text, loader)  # noqa: S506
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, *_STUMBLES) as error:
        # PyYAML's own constructors stumble over numbers and dates that are none.
        raise ValueError(" ".join(str(error).split())[:300] or "no YAML") from error


def _check_node(node: yaml.Node) -> None:
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    if tag not in _TAGS:
        raise ValueError(f"the type {node.tag} in it is none of {', '.join(_TAGS)}")
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > (_DIGITS if tag in ("int", "float") else _NODES):
            raise ValueError("a value in it is too long")


def _count(node: yaml.Node | None, known: dict[int, int], level: int) -> int:
    """Returns how many values a node stands for when every alias is written out."""
    if node is not None:
        _check_node(node)
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("an alias in it stands for itself")
        return known[id(node)]
    if level > _LEVELS:
        raise ValueError("it is nested too deeply")
    known[id(node)] = 0
    inner = (one for pair in node.value for one in pair)
    children = inner if isinstance(node, yaml.MappingNode) else node.value
    total = 1 + sum(_count(child, known, level + 1) for child in children)
    if total > _NODES:
        raise ValueError("its aliases make it huge")
    known[id(node)] = total
    return total

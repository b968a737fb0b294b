"""Which layers get an adapter, of which rank, and which do not and why."""

import dataclasses
import logging
import re
from collections.abc import Callable

import keras

from kphotoz.adapters import paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.self_written import written_kernels
from kphotoz.errors import InputError
from kphotoz.layers._forms import (
    Form,
    form_of,
    is_depthwise,
    is_linear,
    quantization_of,
)
from kphotoz.layers._lora import LoRAMixin
from kphotoz.layers._lora_arguments import check_rank

__all__ = ["Choice", "Targets", "matching", "plan"]

Targets = str | Callable[[str, keras.Layer], bool] | None

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Choice:
    """One convolution or linear layer and what becomes of it.

    Args:
        path: layer path.
        kind: class name of the layer.
        shape: shape of the kernel.
        rank: width of the update.
        parameters: entries of A and B together.
        kernel_parameters: entries of the kernel.
        skipped: why it gets no adapter; empty when it gets one. A kernel that no
            update can be added to, as a quantized one, has no shape and no parameters
            here.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    rank: int
    parameters: int
    kernel_parameters: int
    skipped: str = ""


def plan(
    base: keras.Model,
    rank: int = 4,
    targets: Targets = None,
    *,
    rank_patterns: dict[str, int] | None = None,
    train_also: str | None = None,
    allow_full_rank: bool = False,
) -> list[Choice]:
    """Returns what `apply` with the same arguments would do with each layer.

    Args:
        base: built model without adapters.
        rank: int >= 1. [default: 4]
        targets: pattern searched in layer paths (anchor it with ^ and $), a function of
            (path, layer), or None for all convolutions and linear layers.
        rank_patterns: {pattern: rank}; the first that matches a path sets its rank.
        train_also: pattern of layers that train in full and so get no adapter.
        allow_full_rank: adapt layers whose adapter is no smaller than the kernel.

    Raises:
        InputError: nothing matches, a pattern or rank is wrong, the model is not built
            or already adapted; a named layer is quantized, or the model writes to its
            kernel, or its adapter is as big as its kernel.
    """
    _check_base(base)
    layers = paths.walk(base)
    full = set(matching(layers, train_also)) if train_also else set()
    written = written_kernels(base)
    choices: list[Choice] = []
    owners: dict[int, str] = {}
    for path, layer in layers.items():
        form = form_of(layer)
        if not is_linear(layer) or path in full or not _wanted(targets, path, layer):
            continue
        if quantization_of(layer):
            reason = f"its kernel is quantized ({quantization_of(layer)})"
            choices.append(_left_out(path, layer, rank, reason, targets is not None))
        if form is None:
            continue
        if path in written:
            reason = "the model writes to its kernel in training"
            choices.append(_left_out(path, layer, rank, reason, targets is not None))
            continue
        owner = owners.setdefault(id(layer.kernel), path)
        if owner != path:
            # One update serves both, and with two the first would be lost.
            reason = f"its kernel is that of {owner}, and gets its update"
            choices.append(_left_out(path, layer, rank, reason, False))
            continue
        choice = _choose(path, layer, form, _rank(path, rank, rank_patterns))
        if choice.parameters >= choice.kernel_parameters or is_depthwise(layer):
            choice = _oversized(choice, layer, targets is not None, allow_full_rank)
        choices.append(choice)
    if all(choice.skipped for choice in choices):
        have = [path for path, layer in layers.items() if form_of(layer)]
        raise InputError(
            "Wanted: targets that match a convolution or linear layer. Received: "
            f"{targets!r}. Available paths: {', '.join(have) or 'none'}."
            f"{''.join(f' Skipped: {x.skipped}.' for x in choices[:3])}"
        )
    return choices


def matching(layers: dict[str, keras.Layer], pattern: str) -> list[str]:
    """Returns the paths of layers with weights in which `pattern` is found.

    Sublayers of such a layer are among them, whatever their own paths.

    Raises:
        InputError: the pattern is no regular expression, or it matches nothing.
    """
    have = [path for path, layer in layers.items() if layer.weights]
    named = {path for path in have if _search(pattern, path)}
    matched = [path for path in have if named & {path, *_parents(path)}]
    if not matched:
        raise InputError(
            f"Wanted: a pattern of layers to train. Received: {pattern!r}, which "
            f"matches none. Available paths: {', '.join(have)}."
        )
    return matched


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _check_base(base: keras.Model) -> None:
    if not isinstance(base, keras.Model) or not base.built or not base.weights:
        raise InputError(
            f"Wanted: a built Keras model. Received: {base!r:.80}. "
            "Call it on a batch, or give it an Input, first."
        )
    adapted = [
        path
        for path, layer in paths.walk(base).items()
        if isinstance(layer, (LoRAMixin, AdaptedModel))
        or getattr(layer, "lora_enabled", False)
    ]
    if adapted or isinstance(base, AdaptedModel):
        raise InputError(
            "Wanted: a base model without adapters. Received: one with adapters on "
            f"{', '.join(adapted) or 'its base'}. Merge them first."
        )


def _search(pattern: str, path: str) -> bool:
    try:
        return re.search(pattern, path) is not None
    except re.error as error:
        raise InputError(
            f"Wanted: a regular expression. Received: {pattern!r} ({error})."
        ) from error


def _wanted(targets: Targets, path: str, layer: keras.Layer) -> bool:
    if targets is None:
        return True
    return targets(path, layer) if callable(targets) else _search(targets, path)


def _rank(path: str, rank: int, patterns: dict[str, int] | None) -> int:
    for pattern, value in (patterns or {}).items():
        if _search(pattern, path):
            rank = value
            break
    try:
        return check_rank(rank)
    except ValueError as error:
        raise InputError(f"{error} Path: {path}.") from error


def _left_out(
    path: str, layer: keras.Layer, rank: int, reason: str, named: bool
) -> Choice:
    if named:
        fix = "leave the layer out of the targets"
        if quantization_of(layer):
            fix = (
                "adapt the model before it is quantized, and quantize what "
                f"adapters.merge gives; or {fix}"
            )
        raise InputError(
            "Wanted: kernels of floating-point numbers that nothing but an optimizer "
            f"changes. Received: {path}: {reason}. So {fix}."
        )
    log.info("Skipped %s: %s.", path, reason)
    kind = type(layer).__name__
    return Choice(path, kind, (), rank, 0, 0, f"{path}: {reason}")


def _choose(path: str, layer: keras.Layer, form: Form, rank: int) -> Choice:
    if getattr(layer, "kernel_constraint", None) is not None:
        raise InputError(
            f"Wanted: a layer without kernel_constraint. Received: {path}, whose "
            "frozen kernel could not be constrained. Leave it out of the targets."
        )
    kind = type(layer).__name__
    return Choice(path, kind, form.shape, rank, form.parameters(rank), form.size)


def _oversized(choice: Choice, layer: keras.Layer, named: bool, allow: bool) -> Choice:
    form = form_of(layer)
    assert form is not None  # a choice has one
    inputs, outputs = form.matrix
    depthwise = is_depthwise(layer)
    if allow and not depthwise and choice.rank <= max(inputs, outputs):
        return choice
    reason = (
        f"{choice.path}: the adapter of rank {choice.rank} would have "
        f"{choice.parameters} parameters, the kernel has {choice.kernel_parameters}"
    )
    if named:
        fix = "" if depthwise else " or pass allow_full_rank=True"
        wanted = "a layer that is not depthwise" if depthwise else "a smaller adapter"
        raise InputError(
            f"Wanted: {wanted}. Received: {reason}. Lower "
            f"the rank, train the layer in full with train_also{fix}."
        )
    log.info("Skipped %s.", reason)
    return dataclasses.replace(choice, skipped=reason)

"""The adapters of a model, however they were put there."""

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.copies import copy_any
from kphotoz.adapters.swap import plain
from kphotoz.errors import InputError
from kphotoz.layers._forms import form_of
from kphotoz.layers._lora import LoRAMixin
from kphotoz.layers._lora_arguments import Start
from kphotoz.layers._low_rank import LowRank

__all__ = [
    *("Adapter", "adapters_of", "count", "merge", "origin_of", "report", "root_of"),
]


@dataclasses.dataclass(frozen=True)
class Adapter:
    """One adapted kernel of a model.

    Args:
        path: layer path in the base.
        layer: the layer that holds the kernel.
        kernel: the frozen kernel.
        a, b: the factors.
        rank, alpha: the update is ``alpha / rank * A @ B``.
        variables: all that the file of an adapter holds of it, by name: lora_a and
            lora_b, the start of PiSSA, the magnitude of DoRA.
        start: "zero" or "pissa".
        dora: bool.
        make_update: function that returns the update as a tensor.
    """

    path: str
    layer: keras.Layer
    kernel: keras.Variable
    a: keras.Variable
    b: keras.Variable
    rank: int
    alpha: float
    variables: dict[str, keras.Variable]
    start: Start
    dora: bool
    make_update: Callable[[], Any]

    def update(self) -> np.ndarray:
        """Returns the update in float32, of the kernel's shape."""
        return keras.ops.convert_to_numpy(self.make_update())


def adapters_of(model: keras.Model) -> list[Adapter]:
    """Returns the adapters of a model, in the order of its layers."""
    if isinstance(model, AdaptedModel):
        layers = paths.walk(model.base)
        return [
            _adapter(entry["path"], layers[entry["path"]], factors)
            for entry, factors in zip(model.spec["entries"], model.factors, strict=True)
        ]
    return [
        _adapter(path, layer, layer)
        for path, layer in paths.walk(model).items()
        if isinstance(layer, LoRAMixin)
    ]


def root_of(model: keras.Model) -> keras.Model:
    """Returns the model that has the layers of the base: itself, or what it owns."""
    return model.base if isinstance(model, AdaptedModel) else model


def origin_of(model: keras.Model) -> dict | None:
    """Returns what `apply` recorded in a model, None where it made none."""
    if isinstance(model, AdaptedModel):
        return model.spec["origin"]
    origins = [adapter.layer.origin for adapter in adapters_of(model)]
    return origins[0] if origins else None


def _adapter(path: str, layer: keras.Layer, holder: LowRank) -> Adapter:
    return Adapter(
        path=path,
        layer=layer,
        kernel=layer.base_kernel if isinstance(layer, LoRAMixin) else layer.kernel,
        a=holder.lora_a,
        b=holder.lora_b,
        rank=holder.adapter_rank,
        alpha=holder.alpha,
        variables=holder.adapter_variables(),
        start=holder.start,
        dora=holder.dora,
        make_update=holder.update,
    )


def count(model: keras.Model) -> int:
    """Returns the number of entries of an adapter that train."""
    return sum(_size(adapter) for adapter in adapters_of(model))


def _size(adapter: Adapter) -> int:
    sizes = [
        int(np.prod(variable.shape))
        for name, variable in adapter.variables.items()
        if not name.endswith("_start")
    ]
    return sum(sizes)


def report(model: keras.Model) -> list[dict]:
    """Returns one row for each convolution and linear layer of an adapted model.

    A row has path, kind, shape (of the kernel), rank (0 without an adapter), alpha,
    parameters (of the adapter), trainable (entries that train in this layer),
    update_norm (Frobenius norm of what is added to the kernel).
    """
    root = root_of(model)
    adapted = {adapter.path: adapter for adapter in adapters_of(model)}
    rows = []
    for path, layer in paths.walk(root).items():
        adapter = adapted.get(path)
        if adapter is None and form_of(layer) is None:
            continue
        shape = (adapter.kernel if adapter else layer.kernel).shape
        variables = {id(v): v for v in layer.trainable_weights}
        if adapter:
            factors = [v for v in adapter.variables.values() if v.trainable]
            variables |= {id(v): v for v in factors}
        rows.append(
            {
                "path": path,
                "kind": type(layer).__name__,
                "shape": tuple(shape),
                "rank": adapter.rank if adapter else 0,
                "alpha": adapter.alpha if adapter else None,
                "parameters": _size(adapter) if adapter else 0,
                "trainable": sum(int(np.prod(v.shape)) for v in variables.values()),
                "update_norm": (
                    float(np.linalg.norm(adapter.update())) if adapter else 0.0
                ),
            }
        )
    return rows


def merge(model: keras.Model) -> keras.Model:
    """Returns a new, trainable model of plain layers with the updates in the kernels.

    Sums are made in float32 whatever the compute dtype. The model given keeps its base
    and its factors apart, so nothing ever has to be subtracted again. The result needs
    kphotoz to load only if the base did.

    Raises:
        InputError: the model has no adapters, or a factor is not finite.
    """
    adapted = adapters_of(model)
    if not adapted:
        raise InputError(
            f"Wanted: a model with adapters. Received: {model.name!r}, which has none."
        )
    check_finite(adapted)
    merged = plain_copy(model)
    layers = paths.walk(merged)
    for adapter in adapted if isinstance(model, AdaptedModel) else []:
        kernel = layers[adapter.path].kernel
        kernel.assign(kernel + adapter.update())
    return merged


def plain_copy(model: keras.Model) -> keras.Model:
    """Returns a trainable copy of plain layers; LoRA layers come merged."""
    if not isinstance(model, AdaptedModel):
        return plain(model)
    copy = copy_any(model.base)
    copy.trainable = True
    return copy


# Models whose adapter is put aside for a while, as within `merged`.
ASIDE: weakref.WeakSet = weakref.WeakSet()


@contextlib.contextmanager
def put_aside(model: keras.Model) -> Iterator[None]:
    """Within it the values of a model's adapter are not its own."""
    outermost = model not in ASIDE
    ASIDE.add(model)
    try:
        yield
    finally:
        if outermost:
            ASIDE.discard(model)


def check_present(model: keras.Model, what: str) -> None:
    """Raises InputError where a model's adapter is put aside."""
    if model in ASIDE:
        raise InputError(
            f"Wanted: {what} outside of merged() and disabled(). Received: "
            f"{model.name!r} within. Leave that block first."
        )


def check_finite(adapters: list[Adapter]) -> None:
    """Raises InputError for the first factor with a NaN or an infinity."""
    for adapter in adapters:
        held = adapter.variables
        for name, values in zip(held, paths.arrays(held.values()), strict=True):
            if not np.isfinite(values).all():
                raise InputError(
                    f"Wanted: finite factors. Received: {name} of {adapter.path} with "
                    f"{int((~np.isfinite(values)).sum())} values that are not. Train "
                    "again with a lower learning rate."
                )

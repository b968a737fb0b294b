"""Factors that start from data: the main directions of what each layer is given.

Source: Paischer et al. 2024, arXiv 2410.07170 (EVA): A starts as the right singular
vectors of the layer's inputs, B as zero, and ranks move to the layers whose inputs need
more directions to explain as large a share of their variance.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kphotoz.adapters import paths
from kphotoz.adapters.planning import Choice
from kphotoz.errors import InputError
from kphotoz.layers._forms import form_of

__all__ = ["Directions", "find_directions", "share_ranks"]

# Rows of each layer's inputs that are looked at (our choice).
_ROWS = 4096
# No rank grows beyond so many times the one asked for (rho of the paper).
_GROWTH = 2.0


class Directions:
    """The main directions of one layer's inputs.

    Args:
        vectors: (count, inputs) float64, orthonormal rows, the strongest first.
        shares: (count,) share of the inputs' summed squares that each explains.
    """

    def __init__(self, vectors: np.ndarray, shares: np.ndarray) -> None:
        self.vectors, self.shares = vectors, shares


def find_directions(
    base: keras.Model, choices: list[Choice], data: Any
) -> dict[str, Directions]:
    """Returns the main directions of the inputs of each chosen layer.

    Args:
        base: built model; it is only called.
        choices: the layers, from `plan`.
        data: one batch of the model's inputs, as the model is called with.

    Raises:
        InputError: a layer is not reached, or gets inputs that are not finite.
    """
    layers = paths.walk(base)
    wanted = {c.path: layers[c.path] for c in choices if not c.skipped}
    inputs_by_path: dict[str, list[np.ndarray]] = {path: [] for path in wanted}
    with _watched(wanted, inputs_by_path):
        base(data, training=False)
    ranks = {choice.path: choice.rank for choice in choices}
    directions = {}
    for path, layer in wanted.items():
        if not inputs_by_path[path]:
            raise InputError(
                f"Wanted: data that reach every adapted layer. Received: none reached "
                f"{path}. Leave it out of the targets or give data that use it."
            )
        directions[path] = _directions(
            path, layer, np.concatenate(inputs_by_path[path]), ranks[path]
        )
    return directions


def share_ranks(
    directions: dict[str, Directions], ranks: dict[str, int], limits: dict[str, int]
) -> dict[str, int]:
    """Returns ranks of the same sum, at the layers whose directions explain most.

    Every layer keeps rank 1 at least, and none grows beyond twice its rank or its
    limit.

    Args:
        directions: by path.
        ranks: what was asked for, by path.
        limits: largest rank by path.
    """
    given = dict.fromkeys(directions, 1)
    queue = sorted(
        (
            (-share, path, number)
            for path, one in directions.items()
            for number, share in enumerate(one.shares[: limits[path]])
            if 1 <= number < _GROWTH * ranks[path]
        ),
        key=lambda item: item,
    )
    for _, path, _ in queue[
        : sum(ranks[path] for path in directions) - len(directions)
    ]:
        given[path] += 1
    return given


@contextlib.contextmanager
def _watched(
    layers: dict[str, keras.Layer], inputs_by_path: dict[str, list[np.ndarray]]
) -> Iterator[None]:
    """Within it every call of the layers notes its inputs as rows."""
    own = {path: layer.call for path, layer in layers.items()}

    def watch(path: str) -> Callable:
        layer, call = layers[path], own[path]

        def noting(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            inputs_by_path[path].append(_rows(layer, inputs))
            return call(inputs, *args, **kwargs)

        return noting

    for path, layer in layers.items():
        layer.call = watch(path)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.call


def _rows(layer: keras.Layer, inputs: Any) -> np.ndarray:
    """Returns inputs as (row, inputs) in the order of the kernel's matrix."""
    if isinstance(layer, keras.layers.EinsumDense):
        values = _contracted_last(layer, inputs)
    elif isinstance(layer, keras.layers.Dense):
        values = inputs
    else:
        values = _windows(layer, inputs)
    values = ops.convert_to_numpy(ops.cast(values, "float32"))
    form = form_of(layer)
    assert form is not None  # a chosen layer has one
    rows = values.reshape(-1, form.matrix[0])
    step = max(1, len(rows) // _ROWS)
    return rows[::step].astype("float64")


def _contracted_last(layer: keras.layers.EinsumDense, inputs: Any) -> Any:
    names, _ = layer.equation.replace(" ", "").split("->")
    of_inputs, of_kernel = names.split(",")
    form = form_of(layer)
    assert form is not None  # a chosen layer has one
    contracted = [of_kernel[axis] for axis in form.order[: -form.outputs]]
    count = len(inputs.shape)
    # An ellipsis stands for leading axes: what is named is counted from its own side.
    before, dots, after = of_inputs.partition("...")
    place = {name: axis for axis, name in enumerate(before)}
    place |= {n: count - len(after) + k for k, n in enumerate(after)} if dots else {}
    last = [place[name] for name in contracted]
    first = [axis for axis in range(count) if axis not in last]
    return ops.transpose(inputs, first + last)


def _windows(layer: keras.Layer, inputs: Any) -> Any:
    """Returns what each place of a convolution sees, (..., window × channels).

    A convolution with the identity as its kernel gathers it. Groups share one kernel
    matrix, so their windows are rows of their own.
    """
    shape = tuple(layer.kernel.shape)
    width = int(np.prod(shape[:-1]))
    eye = np.eye(width, dtype="float32").reshape(*shape[:-1], width)
    channels = 1 if layer.data_format == "channels_first" else -1
    parts = ops.split(ops.cast(inputs, "float32"), layer.groups, axis=channels)
    padding = "valid" if layer.padding == "causal" else layer.padding
    windows = [
        ops.conv(
            part,
            eye,
            strides=layer.strides,
            padding=padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
        for part in parts
    ]
    if channels == 1:
        windows = [ops.moveaxis(part, 1, -1) for part in windows]
    return ops.stack(windows, axis=-2)


def _directions(
    path: str, layer: keras.Layer, rows: np.ndarray, rank: int
) -> Directions:
    if not np.isfinite(rows).all():
        raise InputError(
            f"Wanted: data that give every layer finite inputs. Received: "
            f"{int((~np.isfinite(rows)).sum())} values in {path} that are not."
        )
    _, s, v = np.linalg.svd(rows, full_matrices=False)
    count = int(min(np.ceil(_GROWTH * rank), len(s)))
    if count < rank:
        raise InputError(
            f"Wanted: {rank} rows of data or more for {path}. Received: {len(rows)}. "
            "Give a larger batch."
        )
    total = max(float((s**2).sum()), np.finfo(float).tiny)
    return Directions(v[:count], s[:count] ** 2 / total)

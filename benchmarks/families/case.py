"""One model on which the contract is run, and how."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kphotoz.testing import ContractReport, run_adapter_contract

__all__ = ["ROWS", "Case", "check", "drawn", "hub", "images", "settled"]

ROWS = 2  # of a batch: the fewest that the contract takes
END = 2  # id at which MetaCLIP2 looks, and which means nothing to others


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, its inputs, and what the contract is told of it.

    Args:
        name: of the model's class or constructor; unique.
        family: what the row of the table is called.
        source: "keras.applications" or "keras_hub.models".
        make: function that returns a new model.
        inputs: function that returns inputs of `ROWS` rows.
        note: what a reader has to know of how it was run.
        options: further arguments of `run_adapter_contract`.
    """

    name: str
    family: str
    source: str
    make: Callable[[], keras.Model]
    inputs: Callable[[], Any]
    note: str = ""
    options: dict = dataclasses.field(default_factory=dict)


def check(case: Case) -> ContractReport:
    """Returns what the contract reports of a model; raises AssertionError."""
    keras.utils.set_random_seed(0)
    inputs = case.inputs()
    # Compiling the later steps too takes as long as all the rest.
    options = {"run_eagerly": True} | case.options
    return run_adapter_contract(lambda: settled(case.make(), inputs), inputs, **options)


def images(height: int, width: int, bands: int = 5) -> np.ndarray:
    """Returns normal noise of (ROWS, height, width, bands)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, height, width, bands)).astype("float32")


def settled(model: keras.Model, inputs: Any) -> keras.Model:
    """Returns the model as if it had been trained a little.

    Biases, scales and shifts are none of zero and one, no weight has equal entries, and
    the statistics of batch normalisations are those of inputs like these: at its start
    a deep network that does not normalise lets its outputs, and with them its
    gradients, grow or vanish.
    """
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        # Equal entries are a start too: equal queries give attention no gradient.
        if "float" in weight.dtype and (values.ndim == 1 or np.ptp(values) == 0):
            weight.assign(values + rng.uniform(0, 0.1, values.shape))
    layers = list(model._flatten_layers(include_self=False))
    for layer in layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it reads its weights then only
    norm = keras.layers.BatchNormalization
    norms = {layer: layer.momentum for layer in layers if isinstance(layer, norm)}
    for layer in norms:
        layer.momentum = 0.0
        if layer.gamma is not None:
            # Small residual branches, as training makes them, so that rounding is not
            # amplified from block to block.
            layer.gamma.assign(rng.uniform(0.3, 0.6, layer.gamma.shape))
    if norms:
        # Statistics of two rows are none: channels without variance would be amplified.
        model(keras.tree.map_structure(_more_rows, inputs), training=True)
    for layer, momentum in norms.items():
        layer.momentum = momentum
    return model


def _more_rows(values: np.ndarray) -> np.ndarray:
    more = np.repeat(values, 16, axis=0)
    if values.dtype.kind != "f":
        return more
    noise = np.random.default_rng(2).normal(size=more.shape)
    return (more + noise).astype(values.dtype)


def hub(
    name: str,
    make: Callable[[], keras.Model],
    shapes: dict | None = None,
    note: str = "",
    **options: Any,
) -> Case:
    """Returns the case of a backbone of keras_hub.models.

    Args:
        name: of its class, without "Backbone".
        make: function that returns a new backbone.
        shapes: {input: shape of one row} where `drawn` needs to be told.
        note: what a reader has to know of how it was run.
        **options: further arguments of `run_adapter_contract`.
    """
    inputs = lambda: drawn(make(), shapes or {})  # noqa: E731 - it reads as one
    return Case(
        f"{name}Backbone", name, "keras_hub.models", make, inputs, note, options
    )


def drawn(model: keras.Model, shapes: dict) -> Any:
    """Returns inputs of `ROWS` rows in the structure of a Functional model's.

    Floats are noise, masks are ones but for the end of the last row, and other integers
    are ids; texts end with `END`. Sizes that are not fixed are 7.

    Args:
        model: Functional model.
        shapes: {input: shape of one row}, for others.
    """
    rng = np.random.default_rng(0)

    def draw(tensor: Any) -> np.ndarray:
        fixed = tuple(7 if size is None else size for size in tensor.shape[1:])
        shape = (ROWS, *shapes.get(tensor.name, fixed))
        if "float" in tensor.dtype:
            return rng.normal(size=shape).astype(tensor.dtype)
        if "mask" in tensor.name:
            mask = np.ones(shape, tensor.dtype)
            mask[-1, -2:] = 0
            return mask
        few = "segment" in tensor.name or "label" in tensor.name
        ids = rng.integers(0, 2 if few else 50, shape, "int32")
        if "token" in tensor.name:
            ids[:, -1] = END
        return ids

    return keras.tree.map_structure(draw, model.input)

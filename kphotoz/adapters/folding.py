"""Batch normalisation folded into the layer before it: for steps and predictions.

In inference mode a normalisation is one scale and one shift a channel, so a convolution
or linear layer before it can do its work: ``norm(conv(x, K) + b) = conv(x, K * scale) +
b * scale + shift``. Equal up to rounding, with one pass over the activations less.
"""

import collections
from collections.abc import Iterator

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.copies import copy_state, of_config
from kphotoz.adapters.swap import rebuild
from kphotoz.errors import InputError
from kphotoz.layers import BatchNormalization
from kphotoz.layers._forms import is_depthwise, quantization_of
from kphotoz.layers._lora import LoRAMixin

__all__ = ["fold", "fold_training"]

_FOLDING = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_NORMS = (keras.layers.BatchNormalization, BatchNormalization)


def fold(model: keras.Model) -> keras.Model:
    """Returns a copy for prediction with normalisations folded into kernels and biases.

    A normalisation is folded where it alone reads the output of a convolution or dense
    layer without activation, both used once, in a Functional or Sequential model or one
    nested in such; the others stay, quantized layers among them. The copy predicts as
    `model` does, to about 1e-5 in float32; it is not for training.

    Args:
        model: built model without adapters; of an adapted one fold what `merge` gives.

    Raises:
        InputError: the model has adapters, or is no graph that can be rebuilt.
    """
    if not paths.is_graph(model):
        raise InputError(
            "Wanted: a built Functional or Sequential model. Received: "
            f"{type(model).__name__} {model.name!r}, whose layers cannot be exchanged."
        )
    if any(isinstance(x, LoRAMixin) for x in paths.walk(model).values()):
        raise InputError(
            f"Wanted: a model without adapters. Received: {model.name!r} with some. "
            "Give fold(merge(model))."
        )
    before = {id(x): norm for x, norm in _pairs(model) if type(x) in _FOLDING}
    norms = {id(norm) for norm in before.values()}

    def convert(layer: keras.Layer) -> keras.Layer | None:
        if id(layer) in norms:
            return None
        config = layer.get_config()
        if id(layer) in before:
            config["use_bias"] = True
        return of_config(layer, config)

    def carry(old: keras.Layer, new: keras.Layer) -> None:
        if id(old) in before:
            _absorb(old, before[id(old)], new)
        else:
            copy_state(old, new)

    return rebuild(model, convert, carry)


def _absorb(old: keras.Layer, norm: keras.Layer, new: keras.Layer) -> None:
    scale, shift = _affine(norm)
    kernel = paths.value(old.kernel)
    # (channels, multiplier) of a depthwise kernel, (filters,) of any other.
    axes = kernel.shape[-2:] if is_depthwise(old) else kernel.shape[-1:]
    new.kernel.assign((kernel * scale.reshape(axes)).astype("float32"))
    bias = 0.0 if old.bias is None else paths.value(old.bias)
    new.bias.assign((bias * scale + shift).astype("float32"))


def _affine(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Returns scale and shift in float64."""
    gamma, beta, mean, variance = (
        None if v is None else np.asarray(paths.value(v), "float64")
        for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + norm.epsilon)
    return scale, (0.0 if beta is None else beta) - mean * scale


def fold_training(model: keras.Model) -> list[str]:
    """Folds frozen normalisations into the LoRA layers before them, in place.

    For faster training steps and predictions of an adapted model. No weight changes and
    nothing of it is saved: files are those of the unfolded model, and a reloaded model
    is unfolded. Only normalisations with the policy "freeze" are folded, because the
    others use the statistics of the batch. Functions that were compiled are dropped.

    Args:
        model: model made by `apply` or `load`.

    Returns:
        the paths of the normalisations that were folded; none for models whose layers
        `apply` could not exchange.
    """
    if not paths.is_graph(model):
        return []
    names = {id(layer): path for path, layer in paths.walk(model).items()}
    folded = []
    for layer, norm in _pairs(model):
        frozen = isinstance(norm, BatchNormalization) and norm.policy == "freeze"
        if frozen and isinstance(layer, LoRAMixin):
            # A bound method, for Keras would take the layer itself for a sublayer.
            layer.affine, norm.folded = norm.affine, True
            folded.append(names[id(norm)])
    model.train_function = model.test_function = model.predict_function = None
    return folded


def _pairs(model: keras.Model) -> Iterator[tuple[keras.Layer, keras.Layer]]:
    """Yields each layer whose output one normalisation of its channels alone reads."""
    graphs = [model, *(x for x in paths.walk(model).values() if paths.is_graph(x))]
    edges = [edge for graph in graphs for edge in paths.edges(graph)]
    read = collections.Counter(id(layer) for layer, _ in edges)
    reading = collections.Counter(id(reader) for _, reader in edges)
    for layer, norm in edges:
        alone = read[id(layer)] == 1 and reading[id(norm)] == 1
        if alone and type(norm) in _NORMS and _fits(layer, norm):
            yield layer, norm


def _fits(layer: keras.Layer, norm: keras.Layer) -> bool:
    if not isinstance(layer, (*_FOLDING, LoRAMixin)) or quantization_of(layer):
        return False
    if layer.activation is not keras.activations.linear:
        return False
    axes = len(norm.input.shape)
    first = getattr(layer, "data_format", None) == "channels_first"
    return norm.axis % axes == (1 if first else axes - 1)

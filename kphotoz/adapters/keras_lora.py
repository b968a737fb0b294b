"""Models with Keras' own `enable_lora` turned into ours, with their training kept."""

import logging

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.adapted_model import AdaptedModel
from kphotoz.adapters.copies import rebuilt
from kphotoz.adapters.matrices import Given, build_given
from kphotoz.adapters.planning import matching
from kphotoz.errors import InputError
from kphotoz.layers._forms import Form, form_of_kernel
from kphotoz.layers._lora import LoRAMixin

__all__ = ["from_keras_lora"]

log = logging.getLogger(__name__)

_FIX = "leave lora_rank out of what its class makes"
_OWN = ("lora_kernel_a", "lora_kernel_b")


def from_keras_lora(
    model: keras.Model,
    *,
    train_also: str | None = None,
    batch_norm: str = "freeze",
    allow_full_rank: bool = False,
) -> keras.Model:
    """Returns a model of ours that equals one with Keras' `enable_lora`.

    The new model is what `apply` and `load` return: its base holds the kernels as they
    were before LoRA, and all other weights as they are now (Keras leaves biases to
    train, here they are frozen); its factors hold what LoRA has learned. The scale is
    the one in force, ``lora_alpha / lora_rank`` of each layer, even where Keras lost
    the alpha that was asked for. The model given stays as it is.

    Factors come over as they are where Keras' form is ours: always for Dense and
    convolutions, and for an EinsumDense that contracts all kernel axes but the last.
    Elsewhere (several output axes, as in attention's query, or axes in another order)
    Keras factors the kernel differently, so the update is factored anew by a singular
    value decomposition: equal up to rounding, of the rank that the update has, which
    may be above Keras'. Where both factors are zero, as Keras leaves them after a
    reload (the update then is in the kernel, and nothing would ever train), the model
    starts as `apply` does: with an equal output, and trainable.

    Args:
        model: built model of any class in which `enable_lora` is on for some layers.
        train_also: pattern of layers that train in full, as in `apply`.
        batch_norm: policy, as in `apply`. [default: "freeze"]
        allow_full_rank: accept adapters no smaller than their kernel. [default: False]

    Raises:
        InputError: no layer has LoRA; one is an Embedding or another layer without an
            adapter here, or quantized; an adapter would be no smaller than its kernel;
            the class of the model makes layers with LoRA or cannot be rebuilt.
    """
    enabled = _enabled(model)
    base = _without_lora(model, enabled)
    full = matching(paths.walk(base), train_also) if train_also else []
    both = sorted(set(full) & set(enabled))
    if both:
        raise InputError(
            f"Wanted: layers without LoRA in train_also. Received: {', '.join(both)}. "
            "Anchor the pattern with ^ and $."
        )
    given = {path: _given(path, layer) for path, layer in enabled.items()}
    return build_given(
        base,
        given,
        train_also=full,
        batch_norm=batch_norm,
        name="from_keras_lora",
        allow_full_rank=allow_full_rank,
    )


def _enabled(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns the layers with Keras' LoRA by path, all of which can be converted."""
    layers = paths.walk(model)
    ours = [path for path, x in layers.items() if isinstance(x, LoRAMixin)]
    if ours or isinstance(model, AdaptedModel):
        raise InputError(
            "Wanted: a model with Keras' LoRA only. Received: one that has adapters of "
            f"ours too{''.join(f', first at {x}' for x in ours[:1])}. Merge them first."
        )
    enabled = {p: x for p, x in layers.items() if getattr(x, "lora_enabled", False)}
    if not enabled:
        raise InputError(
            "Wanted: a model with layers whose enable_lora is on. Received: "
            f"{model.name!r}, which has none. Use adapters.apply."
        )
    for path, layer in enabled.items():
        _check(path, layer)
    return enabled


def _check(path: str, layer: keras.Layer) -> None:
    received, fix = "", ""
    if not all(hasattr(layer, name) for name in _OWN):
        received = f"{type(layer).__name__} at {path}, for which there is no adapter"
        fix = "Save the model, which merges it, and load that without LoRA"
    elif getattr(layer, "quantization_mode", None):
        received = f"a quantized kernel at {path} ({layer.quantization_mode})"
        fix = "Use LoRA on the model before it is quantized"
    elif _form(layer) is None:
        received = f"{type(layer).__name__} at {path}, whose kernel is no matrix"
        fix = "Save the model, which merges it, and load that without LoRA"
    if received:
        raise InputError(
            f"Wanted: LoRA on Dense, EinsumDense or convolution layers. Received: "
            f"{received}. {fix}."
        )


def _kernel(layer: keras.Layer) -> keras.Variable:
    # `layer.kernel` is the sum; the variable is only among the weights.
    return next(v for v in layer.weights if v.name == "kernel")


def _form(layer: keras.Layer) -> Form | None:
    return form_of_kernel(layer, tuple(_kernel(layer).shape))


def _given(path: str, layer: keras.Layer) -> Given:
    form, rank = _form(layer), int(layer.lora_rank)
    assert form is not None  # `_check` refuses layers without
    inputs, outputs = form.matrix
    a, b = paths.arrays([layer.lora_kernel_a, layer.lora_kernel_b])
    direct = form.order == tuple(range(len(form.shape))) and form.outputs == 1
    alpha = float(layer.lora_alpha)
    if not b.any():
        # Keras' A may be zero too, and then neither would ever get a gradient.
        kept = direct and a.any() and rank <= min(inputs, outputs)
        rank = min(rank, inputs, outputs)
        start = a.reshape(-1, rank) if kept else None
        scaled = alpha if kept else alpha / layer.lora_rank * rank
        return Given(start, np.zeros((rank, outputs)), scaled)
    if direct and rank <= min(inputs, outputs):
        return Given(a.reshape(-1, rank), b, alpha)
    product = np.matmul(a.astype("float64"), b.astype("float64"))
    update = alpha / layer.lora_rank * product
    factors = _factored(update.transpose(form.order).reshape(inputs, outputs))
    log.info("%s: rank %s in Keras, %s here.", path, rank, len(factors.b))
    return factors


def _factored(matrix: np.ndarray) -> Given:
    """Returns balanced factors of a matrix, of the rank it has in float32."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    least = values[0] * max(matrix.shape) * np.finfo("float32").eps
    rank = max(1, int((values > least).sum()))
    root = np.sqrt(values[:rank])
    return Given(left[:, :rank] * root, root[:, None] * right[:rank], float(rank))


def _without_lora(model: keras.Model, enabled: dict[str, keras.Layer]) -> keras.Model:
    """Returns a copy of a model that never had LoRA, with the kernels it had then."""
    factors = {id(getattr(x, name)) for x in enabled.values() for name in _OWN}
    old = [v for v in model.variables if id(v) not in factors]
    base = rebuilt(model, _stripped, old, _FIX)
    for source, target in zip(old, base.variables, strict=True):
        target.assign(paths.value(source))
    return base


def _stripped(config):
    """Returns a configuration without Keras' LoRA arguments, at any depth."""
    if isinstance(config, dict):
        return {
            key: _stripped(value)
            for key, value in config.items()
            if key not in ("lora_rank", "lora_alpha")
        }
    if isinstance(config, list | tuple):
        return type(config)(_stripped(value) for value in config)
    return config

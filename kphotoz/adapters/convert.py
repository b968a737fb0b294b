"""Adapters from PEFT, the LoRA library of PyTorch, and to it."""

import difflib
import os
from collections.abc import Callable

import keras
import numpy as np

from kphotoz.adapters import paths, peft_file
from kphotoz.adapters.inventory import (
    Adapter,
    adapters_of,
    check_finite,
    origin_of,
    root_of,
)
from kphotoz.adapters.matrices import Given, build_given, matrices_of
from kphotoz.adapters.peft_file import PeftFactors
from kphotoz.adapters.storage import check_frozen
from kphotoz.errors import InputError
from kphotoz.layers._forms import Form, form_of, form_of_kernel, quantization_of
from kphotoz.layers._lora import LoRAMixin

__all__ = ["from_peft", "to_peft"]

Names = dict[str, str] | Callable[[str], str]

_LINEAR = (keras.layers.Dense, keras.layers.EinsumDense)
_CONVS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_KINDS = (*_LINEAR, *_CONVS)
# Why layers of other kinds, and some einsums, cannot share factors with PEFT.
_OTHERS = {
    keras.layers.DepthwiseConv1D: "PEFT's A mixes all channels, its kernel none",
    keras.layers.DepthwiseConv2D: "PEFT's A mixes all channels, its kernel none",
    keras.layers.SeparableConv1D: "it is two convolutions in one",
    keras.layers.SeparableConv2D: "it is two convolutions in one",
    keras.layers.Conv1DTranspose: "PEFT adapts no transposed convolutions",
    keras.layers.Conv2DTranspose: "PEFT adapts no transposed convolutions",
    keras.layers.Conv3DTranspose: "PEFT adapts no transposed convolutions",
    keras.layers.Embedding: "kphotoz adapts no embeddings",
    keras.layers.EinsumDense: "its kernel is no single matrix of inputs by outputs",
}


def from_peft(
    folder: str | os.PathLike,
    base: keras.Model,
    names: Names,
    *,
    dropout: float | None = None,
) -> keras.Model:
    """Returns the base with the adapter of a PEFT folder, as `adapters.load` would.

    The base must hold the weights that the PyTorch base holds: this converts adapters,
    not models. Linear modules go to Dense and EinsumDense layers, whose contracted and
    kept axes are flattened in the kernel's order; Conv1d, Conv2d and Conv3d modules go
    to Conv1D, Conv2D and Conv3D. A Dense layer that follows a Flatten of channels-last
    images sees its inputs as (height, width, channel), its PyTorch twin as (channel,
    height, width): nothing in the file shows that, so permute the rows of such a
    layer's kernel and of its A yourself. Neither does it show a `padding_mode`, which
    the A of PEFT lacks, nor a module of two names, which PEFT adapts under one of them.

    The A of PEFT knows no dilation and no groups. A dilated window is therefore
    refused, and so is a grouped convolution, unless A keeps to the channels of each
    group in the same way, as in what `to_peft` writes.

    Ranks, alphas, their patterns and `use_rslora` are read; the latter becomes an alpha
    multiplied by the root of the rank.

    Args:
        folder: with adapter_config.json and adapter_model.safetensors.
        base: built Keras model of the same architecture; it stays untouched.
        names: {module name in PyTorch: layer path here}, or a function of the module
            name. Every module of the file needs a layer, and every name in a dict a
            module.
        dropout: rate, in place of the file's `lora_dropout`. [default: the file's]

    Raises:
        InputError: the folder is no whole LoRA adapter; it does more than add low-rank
            products to kernels (DoRA, biases, modules trained in full, PiSSA and other
            starts that change the base), or PEFT itself would pass over a part of it;
            modules and layers do not match one to one, or a factor does not fit its
            layer; a layer would compute something else than PEFT does.
    """
    stored_dropout, modules = peft_file.read(folder)
    layers = paths.walk(base)
    mapped = _mapped(names, sorted(modules), layers)
    given = {}
    for module, path in mapped.items():
        form = _form(path, layers[path], form_of(layers[path]), layers)
        given[path] = _ours(module, modules[module], path, layers[path], form)
    rate = stored_dropout if dropout is None else dropout
    try:
        return build_given(base, given, dropout=rate, name="from_peft")
    except InputError as error:
        if dropout is None and stored_dropout and "dropout" in str(error):
            raise InputError(
                "Wanted: a base that can drop inputs of its adapters. Received: "
                f"lora_dropout={stored_dropout} for {type(base).__name__}, in which "
                "only kernels can be replaced. Pass dropout=0.0."
            ) from error
        raise


def to_peft(model: keras.Model, folder: str | os.PathLike, names: Names) -> None:
    """Writes the adapters of a model as a folder that PEFT loads.

    `PeftModel.from_pretrained(torch_base, folder)` then gives the outputs of `model`,
    if its base holds the weights of the base here. An adapter of PiSSA takes twice its
    rank, since what it started from is a product of its own. That of a grouped
    convolution takes its rank for each group, because the A of PEFT sees all channels:
    PEFT from 0.16.0 reads it, and can run but not merge it.

    Args:
        model: model made by `apply` or `load`, everything but its factors frozen.
        folder: made if it is not there.
        names: {module name in PyTorch: layer path here}, as for `from_peft`, or a
            function of the layer path that returns the module name.

    Raises:
        InputError: the model has no adapters, or one of DoRA, or trains more than
            factors; PEFT would compute something else for a layer, as for a dilated
            convolution; layers and names do not match one to one.
    """
    adapted = adapters_of(model)
    if not adapted:
        raise InputError(
            f"Wanted: a model with adapters. Received: {model.name!r}, which has none. "
            "Make one with adapters.apply."
        )
    check_finite(adapted)
    _check_only_factors(model, adapted)
    modules = _modules(names, [adapter.path for adapter in adapted])
    layers = paths.walk(root_of(model))
    factors = {modules[x.path]: _theirs(x, layers) for x in adapted}
    peft_file.write(folder, factors, _dropout(adapted))


def _mapped(names: Names, modules: list[str], layers: dict) -> dict[str, str]:
    """Returns {module: path} for all modules, after checking that it is one to one."""
    if callable(names):
        mapped = {module: names(module) for module in modules}
    else:
        mapped = {module: names[module] for module in modules if module in names}
        odd = {"no layer for": set(modules) - set(names)}
        odd["a name but no adapter for"] = set(names) - set(modules)
        _refuse_unmatched(odd, "modules of the adapter")
    for module, path in mapped.items():
        if path not in layers:
            near = difflib.get_close_matches(str(path), layers, n=3, cutoff=0.4)
            raise InputError(
                f"Wanted: a layer path of the base for module {module}. Received: "
                f"{path!r}. Near it are {', '.join(near) or 'none'}; "
                "adapters.plan lists all."
            )
    return _one_to_one(mapped)


def _modules(names: Names, adapted: list[str]) -> dict[str, str]:
    """Returns {path: module} for all paths, after checking that it is one to one."""
    if callable(names):
        return _one_to_one({path: names(path) for path in adapted})
    odd = {"no module for": set(adapted) - set(names.values())}
    odd["a name but no adapter for"] = set(names.values()) - set(adapted)
    _refuse_unmatched(odd, "adapters of the model")
    return {path: module for module, path in _one_to_one(names).items()}


def _refuse_unmatched(odd: dict[str, set], what: str) -> None:
    for state, ones in odd.items():
        if ones:
            raise InputError(
                f"Wanted: names that match the {what} one to one. Received: {state} "
                f"{', '.join(sorted(ones)[:5])}. Correct the names."
            )


def _one_to_one(mapped: dict[str, str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for key, value in mapped.items():
        if value in first:
            raise InputError(
                f"Wanted: names that match one to one. Received: {value!r} for both "
                f"{first[value]} and {key}. Correct the names."
            )
        first[value] = key
    return mapped


def _form(path: str, layer: keras.Layer, form: Form | None, layers: dict) -> Form:
    """Returns the form, after checking that PEFT computes the same with it."""
    reason, fix = _why_not(layer, form)
    reason = reason or _why_tied(path, layer, layers)
    if reason:
        raise InputError(
            "Wanted: a linear layer or a convolution for which PEFT computes the same. "
            f"Received: {path}, a {type(layer).__name__}: {reason}. {fix}."
        )
    assert form is not None  # else there is a reason
    return form


def _why_not(layer: keras.Layer, form: Form | None) -> tuple[str, str]:
    """Returns why PEFT computes something else with a layer, or "", and what helps."""
    fix = "Leave it out of the adapter"
    if mode := quantization_of(layer):
        return f"its kernel is quantized ({mode})", "Take the model before quantize()"
    if not layer.built:
        return "it is not built", "Call the model on a batch first"
    ours = isinstance(layer, LoRAMixin)
    if getattr(layer, "lora_enabled", False) or (ours and form is None):
        return "it has an adapter already", "Merge that first"
    if form is None or not isinstance(layer, _KINDS):
        kinds = (kind for kind in _OTHERS if isinstance(layer, kind))
        return _OTHERS.get(next(kinds, None), "it is neither"), fix
    if not (ours or _is_called_as_in_keras(layer)):
        return "its class has a call of its own, which PEFT's A would not follow", fix
    if isinstance(layer, _CONVS) and _is_dilated(layer):
        return f"dilation_rate={layer.dilation_rate}, and PEFT's A has no dilation", fix
    return "", fix


def _is_called_as_in_keras(layer: keras.Layer) -> bool:
    kind = next(kind for kind in _KINDS if isinstance(layer, kind))
    return all(
        getattr(type(layer), name, None) is getattr(kind, name, None)
        for name in ("call", "convolution_op")
    )


def _is_dilated(layer: keras.Layer) -> bool:
    # Along an axis where the window has one entry dilation does nothing.
    pairs = zip(layer.dilation_rate, layer.kernel_size, strict=True)
    return any(rate > 1 and size > 1 for rate, size in pairs)


def _why_tied(path: str, layer: keras.Layer, layers: dict) -> str:
    kernel = layer.base_kernel if isinstance(layer, LoRAMixin) else layer.kernel
    for other, owner in layers.items():
        tied = any(weight is kernel for weight in paths.own_weights(owner))
        if other != path and tied:
            return f"its kernel is also that of {other}, which PEFT leaves alone"
    return ""


def _ours(
    module: str, theirs: PeftFactors, path: str, layer: keras.Layer, form: Form
) -> Given:
    groups, rank = _groups(layer), len(theirs.a)
    wanted_a, wanted_b = _shapes(layer, form, rank)
    if groups > 1 and theirs.b.shape == (wanted_b[0], rank, *wanted_b[2:]):
        raise _mixed(module, theirs.a, path, groups)  # of PEFT before 0.16.0
    if theirs.a.shape != wanted_a or theirs.b.shape != wanted_b:
        raise InputError(
            f"Wanted: factors {wanted_a} and {wanted_b} for {path}. Received: "
            f"{theirs.a.shape} and {theirs.b.shape} of {module}. Give the architecture "
            "that the adapter was trained on, and correct the names."
        )
    a = _of_a_group(module, theirs.a, path, groups) if groups > 1 else theirs.a
    rank = len(a)
    if rank > max(form.matrix):
        raise InputError(
            f"Wanted: a rank of at most {max(form.matrix)} for {path}, the longer side "
            f"of its kernel as a matrix. Received: {rank} for {module}. Merge the "
            "adapter into the base with merge_and_unload, and convert that."
        )
    window = range(2, a.ndim)
    a = a.transpose(*window, 1, 0).reshape(-1, rank)
    return Given(a, theirs.b.reshape(-1, rank).T, theirs.alpha / groups)


def _shapes(layer: keras.Layer, form: Form, rank: int) -> tuple[tuple, tuple]:
    """Returns the shapes of A and B in PyTorch."""
    inputs, outputs = form.matrix
    if isinstance(layer, _LINEAR):
        return (rank, inputs), (outputs, rank)
    *window, channels, _ = form.shape
    groups, ones = _groups(layer), (1 for _ in window)
    return (rank, channels * groups, *window), (outputs, rank // groups, *ones)


def _groups(layer: keras.Layer) -> int:
    return getattr(layer, "groups", 1)


def _of_a_group(module: str, a: np.ndarray, path: str, groups: int) -> np.ndarray:
    """Returns the A of a group, whose window is the same in all and touches no other.

    The B of PEFT is grouped and its A is not: a group's ranks may see all channels.
    """
    own = a[: len(a) // groups, : a.shape[1] // groups]
    if not np.array_equal(_for_groups(own, groups), a):
        raise _mixed(module, a, path, groups)
    return own


def _mixed(module: str, a: np.ndarray, path: str, groups: int) -> InputError:
    return InputError(
        "Wanted: an A that is the same for each group, and zero for the channels of "
        f"others. Received: {module} for {path}, which has {groups} groups, and of "
        f"which PEFT's A mixes all {a.shape[1]} channels. Leave it out of the adapter."
    )


def _for_groups(a: np.ndarray, groups: int) -> np.ndarray:
    """Returns (groups * rank, groups * channels, ...), each group seeing its own."""
    rank, channels, *window = a.shape
    spread = np.zeros((groups, rank, groups, channels, *window), a.dtype)
    for group in range(groups):
        spread[group, :, group] = a
    return spread.reshape(groups * rank, groups * channels, *window)


def _theirs(adapter: Adapter, layers: dict) -> PeftFactors:
    form = form_of_kernel(adapter.layer, tuple(adapter.kernel.shape))
    form = _form(adapter.path, adapter.layer, form, layers)
    if adapter.dora:
        raise InputError(
            f"Wanted: updates that are products of two factors. Received: DoRA at "
            f"{adapter.path}. Merge the adapter, and convert the merged model."
        )
    ours, groups = matrices_of(adapter), _groups(adapter.layer)
    rank = len(ours.b)
    assert ours.a is not None  # factors of an adapter are all there
    *window, channels = form.shape[:-1] if isinstance(adapter.layer, _CONVS) else (-1,)
    a = np.moveaxis(ours.a.reshape(*window, channels, rank), (-1, -2), (0, 1))
    _, shape_b = _shapes(adapter.layer, form, groups * rank)
    return PeftFactors(
        _for_groups(a, groups) if groups > 1 else a,
        ours.b.T.reshape(shape_b),
        groups * ours.alpha,
    )


def _dropout(adapted: list[Adapter]) -> float:
    """Returns the rate of a model's adapters, which all have the same."""
    return adapted[0].layer.dropout if isinstance(adapted[0].layer, LoRAMixin) else 0.0


def _check_only_factors(model: keras.Model, adapted: list[Adapter]) -> None:
    check_frozen(model)
    origin = origin_of(model)
    moved = list(origin["train_also"]) if origin else []
    if origin and origin["batch_norm"] != "freeze":
        moved.append(f"batch_norm={origin['batch_norm']!r}")
    moved += [x.path for x in adapted if getattr(x.layer, "train_bias", False)]
    if moved:
        raise InputError(
            "Wanted: a model that trains nothing but factors. Received: one that also "
            f"trains {', '.join(moved[:5])}, which the file would lose. Merge the "
            "adapter, and convert the merged model."
        )

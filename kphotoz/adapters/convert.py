"""Adapters from PEFT, the LoRA library of PyTorch, and to it."""

import difflib
import os
from collections.abc import Callable

import keras
import numpy as np

from kphotoz.adapters import paths, peft_file
from kphotoz.adapters.inventory import Adapter, adapters_of, check_finite
from kphotoz.adapters.matrices import Given, build_given, matrices_of
from kphotoz.adapters.peft_file import PeftFactors
from kphotoz.adapters.storage import check_frozen, origin_of
from kphotoz.errors import InputError
from kphotoz.layers._forms import Form, form_of, form_of_kernel

__all__ = ["from_peft", "to_peft"]

Names = dict[str, str] | Callable[[str], str]

_LINEAR = (keras.layers.Dense, keras.layers.EinsumDense)


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
    kept axes are flattened in the kernel's order; Conv1d and Conv2d modules go to
    Conv1D and Conv2D. A Dense layer that follows a Flatten of channels-last images sees
    its inputs as (height, width, channel), its PyTorch twin as (channel, height,
    width): nothing in the file shows that, so permute the rows of such a layer's kernel
    and of its A yourself.

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
            starts that change the base); modules and layers do not match one to one, or
            a factor does not fit its layer; a convolution is grouped.
    """
    stored_dropout, modules = peft_file.read(folder)
    layers = paths.walk(base)
    mapped = _mapped(names, sorted(modules), layers)
    given = {}
    for module, path in mapped.items():
        form = _form(path, layers[path], form_of(layers[path]))
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
    rank, since what it started from is a product of its own.

    Args:
        model: model made by `apply` or `load`, everything but its factors frozen.
        folder: made if it is not there.
        names: {module name in PyTorch: layer path here}, as for `from_peft`, or a
            function of the layer path that returns the module name.

    Raises:
        InputError: the model has no adapters, or one of DoRA, or trains more than
            factors; a convolution is grouped; layers and names do not match one to one.
    """
    found = adapters_of(model)
    if not found:
        raise InputError(
            f"Wanted: a model with adapters. Received: {model.name!r}, which has none. "
            "Make one with adapters.apply."
        )
    check_finite(found)
    _check_only_factors(model, found)
    modules = _modules(names, [adapter.path for adapter in found])
    peft_file.write(folder, {modules[x.path]: _theirs(x) for x in found})


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


def _modules(names: Names, found: list[str]) -> dict[str, str]:
    """Returns {path: module} for all paths, after checking that it is one to one."""
    if callable(names):
        return _one_to_one({path: names(path) for path in found})
    odd = {"no module for": set(found) - set(names.values())}
    odd["a name but no adapter for"] = set(names.values()) - set(found)
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


def _form(path: str, layer: keras.Layer, form: Form | None) -> Form:
    if form is None or form.groups > 1 or getattr(layer, "groups", 1) > 1:
        grouped = getattr(layer, "groups", 1)
        kind = f"{type(layer).__name__}" + (f"(groups={grouped})" * (grouped > 1))
        raise InputError(
            "Wanted: a linear layer or an ungrouped convolution. Received: "
            f"{path}, a {kind}. PEFT shares its factors over groups in another way, "
            "and has none for other layers; leave it out of the adapter."
        )
    return form


def _ours(
    module: str, theirs: PeftFactors, path: str, layer: keras.Layer, form: Form
) -> Given:
    rank = len(theirs.a)
    wanted_a, wanted_b = _shapes(layer, form, rank)
    if theirs.a.shape != wanted_a or theirs.b.shape != wanted_b:
        raise InputError(
            f"Wanted: factors {wanted_a} and {wanted_b} for {path}. Received: "
            f"{theirs.a.shape} and {theirs.b.shape} of {module}. Give the architecture "
            "that the adapter was trained on, and correct the names."
        )
    window = range(2, theirs.a.ndim)
    a = theirs.a.transpose(*window, 1, 0).reshape(-1, rank)
    return Given(a, theirs.b.reshape(-1, rank).T, theirs.alpha)


def _shapes(layer: keras.Layer, form: Form, rank: int) -> tuple[tuple, tuple]:
    """Returns the shapes of A and B in PyTorch."""
    inputs, outputs = form.matrix
    if isinstance(layer, _LINEAR):
        return (rank, inputs), (outputs, rank)
    *window, channels, _ = form.shape
    return (rank, channels, *window), (outputs, rank, *(1 for _ in window))


def _theirs(adapter: Adapter) -> PeftFactors:
    form = form_of_kernel(adapter.layer, tuple(adapter.kernel.shape))
    form = _form(adapter.path, adapter.layer, form)
    if adapter.dora:
        raise InputError(
            f"Wanted: updates that are products of two factors. Received: DoRA at "
            f"{adapter.path}. Merge the adapter, and convert the merged model."
        )
    ours = matrices_of(adapter)
    rank = len(ours.b)
    shape_a, shape_b = _shapes(adapter.layer, form, rank)
    inputs = (*shape_a[2:], shape_a[1])
    a = np.moveaxis(ours.a.reshape(*inputs, rank), (-1, -2), (0, 1))
    return PeftFactors(a, ours.b.T.reshape(shape_b), ours.alpha)


def _check_only_factors(model: keras.Model, found: list[Adapter]) -> None:
    check_frozen(model)
    origin = origin_of(model)
    moved = list(origin["train_also"]) if origin else []
    if origin and origin["batch_norm"] != "freeze":
        moved.append(f"batch_norm={origin['batch_norm']!r}")
    moved += [x.path for x in found if getattr(x.layer, "train_bias", False)]
    if moved:
        raise InputError(
            "Wanted: a model that trains nothing but factors. Received: one that also "
            f"trains {', '.join(moved[:5])}, which the file would lose. Merge the "
            "adapter, and convert the merged model."
        )

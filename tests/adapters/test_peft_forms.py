"""Adapters of PEFT on layers of many forms, against outputs that PEFT computed."""

import importlib.util
import json
import pathlib
import sys

import keras
import numpy as np
import pytest
import safetensors.numpy

from kphotoz import adapters
from kphotoz.adapters.inventory import adapters_of
from kphotoz.errors import InputError


def _forms():
    path = pathlib.Path(__file__).with_name("peft_forms.py")
    spec = importlib.util.spec_from_file_location("peft_forms", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


peft_forms = _forms()
STORED = np.load(peft_forms.FILE)
NAMES = {"layer": "layer"}


def _conv(form):
    kind = getattr(keras.layers, f"Conv{len(form.window)}D")
    padding = {"own": "same"}.get(form.padding, form.padding)
    layer = kind(
        *(form.filters, form.window, form.strides),
        padding="valid" if isinstance(padding, int) else padding,
        dilation_rate=form.dilation,
        groups=form.groups,
        name="layer",
    )
    image = keras.Input(form.shape)
    if isinstance(form.padding, int):
        return keras.Model(image, layer(keras.layers.ZeroPadding2D(1)(image)))
    return keras.Model(image, layer(image))


def _linear(form):
    x = image = keras.Input(form.shape)
    if form.kind == "query":
        layer = keras.layers.EinsumDense(
            "abc,cde->abde", (None, 2, form.outputs // 2), bias_axes="de", name="layer"
        )
    elif form.kind == "output":
        layer = keras.layers.EinsumDense(
            "abcd,cde->abe", (None, form.outputs), bias_axes="e", name="layer"
        )
    else:
        layer = keras.layers.Dense(form.outputs, name="layer")
    if form.kind == "flatten":
        x = keras.layers.Flatten()(x)
    return keras.Model(image, layer(x))


def _rows(form, values):
    """Returns rows by (channel, height, width) as (height, width, channel)."""
    height, width, channels = form.shape
    rows = values.reshape(channels, height, width, -1)
    return np.moveaxis(rows, 0, 2).reshape(values.shape)


def base_of(name):
    """Returns the Keras twin with PyTorch's weights."""
    form = peft_forms.FORMS[name]
    linear = isinstance(form, peft_forms.Linear)
    made = _linear(form) if linear else _conv(form)
    layer = made.get_layer("layer")
    shape = tuple(layer.kernel.shape)
    if linear:
        sizes = (form.outputs, peft_forms.inputs_of(form))
        turned = form.stored_transposed
        sizes = sizes[::-1] if turned else sizes
        kernel = peft_forms.drawn(f"{name}.layer.weight", sizes)
        kernel = kernel if turned else kernel.T
        kernel = _rows(form, kernel) if form.kind == "flatten" else kernel
    else:
        sizes = (shape[-1], shape[-2], *shape[:-2])
        kernel = peft_forms.drawn(f"{name}.layer.weight", sizes)
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    bias = peft_forms.drawn(f"{name}.layer.bias", (shape[-1],))
    if linear:
        bias = peft_forms.drawn(f"{name}.layer.bias", (form.outputs,))
    layer.set_weights([kernel.reshape(shape), bias.reshape(layer.bias.shape)])
    return made


def write(folder, name, modules=("layer",), a=None):
    """Writes the adapter as PEFT saved it, but for a given A."""
    form = peft_forms.FORMS.get(name)
    config = {
        "peft_type": "LORA",
        "r": getattr(form, "rank", 2),
        "lora_alpha": peft_forms.ALPHA,
        "use_rslora": getattr(form, "rslora", False),
        "fan_in_fan_out": getattr(form, "stored_transposed", False),
        "target_modules": list(modules),
    }
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {
        f"base_model.model.{module}.lora_{x}.weight": STORED[f"{name}.{module}.{x}"]
        for module in modules
        for x in "AB"
    }
    if a is not None:
        tensors["base_model.model.layer.lora_A.weight"] = a
    safetensors.numpy.save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def images(name):
    form = peft_forms.FORMS.get(name)
    return peft_forms.drawn(f"{name}.x", (2, *(form.shape if form else (5, 6))))


def call(model, name):
    return keras.ops.convert_to_numpy(model(images(name), training=False))


def outputs(name):
    form = peft_forms.FORMS[name]
    wanted = STORED[name]
    if getattr(form, "kind", "") == "query":
        return wanted.reshape(*wanted.shape[:-1], 2, -1)
    return wanted


def converted(name, folder):
    base = base_of(name)
    a = None
    if getattr(peft_forms.FORMS[name], "kind", "") == "flatten":
        a = _rows(peft_forms.FORMS[name], STORED[f"{name}.layer.A"].T).T
        a = np.ascontiguousarray(a)
    return base, adapters.from_peft(write(folder, name, a=a), base, NAMES)


@pytest.mark.parametrize("name", [*peft_forms.SAME, *peft_forms.BLOCKS])
def test_outputs_are_those_of_peft(name, tmp_path):
    base, adapted = converted(name, tmp_path)
    wanted = outputs(name)
    assert np.abs(call(base, name) - wanted).max() > 0.3
    np.testing.assert_allclose(call(adapted, name), wanted, atol=1e-5)


@pytest.mark.parametrize("name", [*peft_forms.SAME, *peft_forms.BLOCKS])
def test_factors_go_back_as_peft_stored_them(name, tmp_path):
    _, adapted = converted(name, tmp_path / "theirs")
    adapters.to_peft(adapted, tmp_path / "ours", NAMES)
    files = [tmp_path / x / "adapter_model.safetensors" for x in ("theirs", "ours")]
    theirs, ours = map(safetensors.numpy.load_file, files)
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)
    config = json.loads((tmp_path / "ours" / "adapter_config.json").read_text())
    form = peft_forms.FORMS[name]
    power = 0.5 if form.rslora else 1.0
    scale = peft_forms.ALPHA / form.rank**power
    assert config["lora_alpha"] / config["r"] == pytest.approx(scale)


def test_attention_has_the_outputs_of_peft(tmp_path):
    x = keras.Input(peft_forms.ATTENTION)
    attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
    base = keras.Model(x, attention(x, x))
    names = {name: f"attention/{name}" for name in peft_forms.PROJECTIONS}
    for name in names:
        layer = getattr(attention, f"_{name.removeprefix('attention_')}_dense")
        kernel = peft_forms.drawn(f"attention.{name}.weight", (6, 6)).T
        bias = peft_forms.drawn(f"attention.{name}.bias", (6,))
        shapes = [weight.shape for weight in layer.weights]
        layer.set_weights([kernel.reshape(shapes[0]), bias.reshape(shapes[1])])
    folder = write(tmp_path, "attention", peft_forms.PROJECTIONS)
    adapted = adapters.from_peft(folder, base, names)
    wanted = STORED["attention"]
    assert np.abs(call(base, "attention") - wanted).max() > 0.3
    np.testing.assert_allclose(call(adapted, "attention"), wanted, atol=1e-5)


def _explicit(base, name):
    """Returns the output with the update of PEFT's factors in the kernel itself."""
    form = peft_forms.FORMS[name]
    a, b = (STORED[f"{name}.layer.{x}"] for x in "AB")
    b = b.reshape(b.shape[:2])
    layer = base.get_layer("layer")
    groups, (filters, channels) = form.groups, (form.filters, form.shape[-1])
    delta = np.zeros((filters, channels // groups, *form.window), "float32")
    for o in range(filters):
        group = o // (filters // groups)
        for rank in range(b.shape[1]):
            own = slice(group * channels // groups, (group + 1) * channels // groups)
            delta[o] += b[o, rank] * a[group * b.shape[1] + rank, own]
    scale = peft_forms.ALPHA / (form.rank**0.5 if form.rslora else form.rank)
    layer.kernel.assign_add(scale * np.moveaxis(delta, (0, 1), (-1, -2)))
    return call(base, name)


@pytest.mark.parametrize("name", [*peft_forms.DILATED, *peft_forms.GROUPED])
def test_what_peft_computes_in_another_way_is_refused(name, tmp_path):
    base, wanted = base_of(name), STORED[name]
    reason = "dilation_rate=" if name in peft_forms.DILATED else "mixes all . channels"
    with pytest.raises(InputError, match=reason) as caught:
        adapters.from_peft(write(tmp_path, name), base, NAMES)
    assert "\n" not in str(caught.value)
    # No kernel holds it: PEFT fails, or gives other values than its factors' update.
    if wanted.size:
        assert np.abs(_explicit(base, name) - wanted).max() > 0.1
    else:
        assert "valid" in name or "causal" in name


def test_the_explicit_update_is_that_of_peft_where_groups_are_apart():
    for name in peft_forms.BLOCKS:
        received = _explicit(base_of(name), name)
        np.testing.assert_allclose(received, STORED[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", peft_forms.DILATED)
def test_dilated_adapters_are_not_written(name, tmp_path):
    adapted = adapters.apply(base_of(name), 1, allow_full_rank=True)
    with pytest.raises(InputError, match="layer, a .*dilation_rate=.*no dilation"):
        adapters.to_peft(adapted, tmp_path, NAMES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", peft_forms.BLOCKS)
def test_grouped_adapters_are_written_with_a_rank_for_each_group(name, tmp_path):
    form, base = peft_forms.FORMS[name], base_of(name)
    rank = form.rank // form.groups
    adapted = adapters.apply(base, rank, 2.5, allow_full_rank=True)
    (adapter,) = adapters_of(adapted)
    rng = np.random.default_rng(4)
    for variable in (adapter.a, adapter.b):
        variable.assign(rng.normal(size=variable.shape))
    adapters.to_peft(adapted, tmp_path, NAMES)
    tensors = safetensors.numpy.load_file(tmp_path / "adapter_model.safetensors")
    for letter in "AB":
        shape = tensors[f"base_model.model.layer.lora_{letter}.weight"].shape
        assert shape == STORED[f"{name}.layer.{letter}"].shape
    again = adapters.from_peft(tmp_path, base, NAMES)
    np.testing.assert_array_equal(call(again, name), call(adapted, name))


def test_grouped_adapters_of_old_peft_are_refused_for_what_they_do(tmp_path):
    # Before PEFT 0.16.0 B had no groups either.
    folder = write(tmp_path, "grouped_2d")
    tensors = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    b = np.ones((6, 4, 1, 1), "float32")
    tensors["base_model.model.layer.lora_B.weight"] = b
    safetensors.numpy.save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match="mixes all 4 channels"):
        adapters.from_peft(folder, base_of("grouped_2d"), NAMES)

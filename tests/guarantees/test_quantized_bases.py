"""Quantized layers of a base: kept to the bit, or refused in one line."""

import keras
import numpy as np
import pytest
from foreign import X, attention, explicit, graph, outputs, step, unnamed
from keras import layers

from kphotoz import adapters
from kphotoz.adapters import paths
from kphotoz.errors import InputError
from kphotoz.layers import LoRADense

pytestmark = pytest.mark.filterwarnings(
    "ignore:Layer .* does not have a .quantize. method"
)


def _again(model, folder):
    model.save(folder / "quantized.keras")
    return keras.models.load_model(folder / "quantized.keras")


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("make", [graph, attention])
@pytest.mark.parametrize("reload", [False, True], ids=["live", "reloaded"])
def test_partly_quantized_base_is_adapted_beside_its_quantized_kernels(
    make, mode, reload, tmp_path
):
    base = make()
    base.quantize(mode, filters="first")
    base = _again(base, tmp_path) if reload else base
    before, weights = outputs(base), base.get_weights()
    model = adapters.apply(base, 2)
    np.testing.assert_array_equal(outputs(model), before)
    skipped = {choice.path: choice.skipped for choice in adapters.plan(base, 2)}
    assert f"quantized ({mode})" in skipped["first"]
    step(model)
    adapters.save(model, tmp_path / "a.safetensors")
    wanted = explicit(base, model)
    assert np.abs(wanted - before).max() > 1e-3
    loaded = adapters.load(base, tmp_path / "a.safetensors")
    for other in (model, loaded, adapters.merge(model)):
        np.testing.assert_allclose(outputs(other), wanted, atol=1e-5)
    kept = [x for x in paths.walk(adapters.merge(model)).values() if x.name == "first"]
    assert kept[0].quantization_mode == mode
    for old, new in zip(weights, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("targets", ["second", "first|third", None])
def test_quantized_layer_is_refused_by_name_and_where_nothing_else_is_left(
    mode, targets
):
    base = graph()
    base.quantize(mode)
    with pytest.raises(InputError, match=f"quantized \\({mode}\\)") as caught:
        adapters.apply(base, 2, targets=targets)
    assert "\n" not in str(caught.value)


def test_function_of_targets_that_names_a_quantized_layer_is_refused():
    base = graph()
    base.quantize("int8", filters="second")
    with pytest.raises(InputError, match="second: its kernel is quantized"):
        adapters.apply(base, 1, targets=lambda path, layer: True)


@pytest.mark.parametrize("make", [attention, unnamed])
def test_quantized_sublayer_that_no_configuration_tells_of_is_refused(make):
    base = make()

    def within(layer):
        return layer.name == "query" or getattr(layer, "units", 0) == 12

    base.quantize("int8", filters=within)
    with pytest.raises(InputError, match="before it is quantized"):
        adapters.apply(base, 1)


def _gptq(layer):
    config = keras.quantizers.GPTQConfig(
        dataset=["text"], tokenizer=lambda text: text, weight_bits=4
    )
    layer.quantize("gptq", config=config)


def _awq(layer):
    config = keras.quantizers.AWQConfig(
        dataset=["text"], tokenizer=lambda text: text, weight_bits=4
    )
    layer.quantize("awq", config=config)


@pytest.mark.parametrize(
    ("mode", "quantize"),
    [
        ("float8", lambda layer: layer.quantize("float8")),
        ("gptq", _gptq),
        ("awq", _awq),
    ],
)
@pytest.mark.parametrize("make", [graph, attention])
def test_what_no_copy_keeps_is_refused_beside_other_targets(make, mode, quantize):
    base = make()
    quantize(base.get_layer("first"))
    for change in (lambda m: adapters.apply(m, 1, targets="third"), adapters.fold):
        with pytest.raises(InputError, match=f"first with {mode}"):
            change(base)


def test_adapter_of_a_base_that_was_quantized_since_is_refused(tmp_path):
    base = graph()
    adapters.save(step(adapters.apply(base, 2)), tmp_path / "a.safetensors")
    base.quantize("int8", filters="second")
    with pytest.raises(InputError, match="at second.*quantized to int8"):
        adapters.load(base, tmp_path / "a.safetensors")


def test_layer_quantized_by_its_dtype_alone_is_left_out():
    base = keras.Sequential(
        [
            keras.Input((6, 8)),
            layers.Dense(6, dtype="int8_from_float32", name="small"),
            layers.Dense(5, name="big"),
        ]
    )
    model = adapters.apply(base, 1)
    np.testing.assert_array_equal(outputs(model), outputs(base))
    assert [r["path"] for r in adapters.report(model) if r["rank"]] == ["big"]


@pytest.mark.parametrize("make", [graph, attention])
def test_adapted_model_refuses_quantization_before_any_layer_is_changed(make):
    model = step(adapters.apply(make(), 2))
    before = adapters.snapshot(model)
    inner = getattr(model, "base", model).get_layer("third")
    for whole in (model, inner):
        with pytest.raises(ValueError, match="adapters.merge"):
            whole.quantize("int8")
    with pytest.raises(ValueError, match="adapters.merge"):
        inner.dtype_policy = "int8_from_float32"
    assert adapters.snapshot(model) == before


def test_lora_layer_of_a_quantized_dtype_is_refused():
    with pytest.raises(ValueError, match="int8_from_float32.*merge"):
        LoRADense(4, dtype="int8_from_float32")


def test_folding_leaves_a_quantized_layer_and_its_normalisation():
    x = keras.Input((6, 8))
    y = layers.Dense(16, use_bias=False, name="small")(x)
    y = layers.BatchNormalization(name="norm")(y)
    base = keras.Model(x, layers.Dense(3)(y))
    base.get_layer("norm").moving_mean.assign(np.linspace(-1, 1, 16))
    base.quantize("int8", filters="small")
    folded = adapters.fold(base)
    np.testing.assert_array_equal(outputs(folded), outputs(base))
    assert folded.get_layer("norm")


def test_quantized_embedding_comes_along():
    x = keras.Input((6,), dtype="int32")
    base = keras.Model(x, layers.Dense(5)(layers.Embedding(9, 8, name="words")(x)))
    base.quantize("int8", filters="words")
    tokens = (np.abs(X[:, :, 0]) * 3).astype("int32") % 9
    model = adapters.apply(base, 1)
    np.testing.assert_array_equal(outputs(model, tokens), outputs(base, tokens))

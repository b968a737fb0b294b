"""What a file restores, on which bases, and on which it refuses to."""

import importlib.util
import logging
import pathlib

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters import file_format
from kphotoz.adapters.paths import value
from kphotoz.errors import InputError


def _build(prefix):
    path = pathlib.Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("adapters_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.disturb(module.build(prefix))


@pytest.fixture
def file(trained, tmp_path):
    adapters.save(trained, tmp_path / "adapter.safetensors")
    return tmp_path / "adapter.safetensors"


def test_factors_head_and_statistics_come_back_bit_for_bit(base, trained, file):
    model = adapters.load(base, file)
    assert not model.compiled
    for old, new in zip(trained.weights, model.weights, strict=True):
        np.testing.assert_array_equal(value(old), value(new))
    names = [[v.path for v in x.trainable_weights] for x in (trained, model)]
    assert names[0] == names[1]
    assert model.get_layer("stem_norm").policy == "adapt_statistics"


def test_what_was_thawed_by_hand_is_refused_not_lost(base, images, tmp_path):
    model = adapters.apply(base, rank=2, alpha=3.0, targets="stem")
    model.get_layer("head_1").kernel.trainable = True
    adapters.save(model, tmp_path / "before.safetensors")
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    outputs = value(model(images))
    model.train_on_batch(images, outputs + 1)
    with pytest.raises(InputError, match="base's own weights.*train_also"):
        adapters.save(model, tmp_path / "after.safetensors")
    assert not (tmp_path / "after.safetensors").exists()


def test_loading_leaves_the_base_alone(base, file):
    before = adapters.snapshot(base)
    adapters.load(base, file)
    assert adapters.snapshot(base) == before


def test_loaded_adapter_saves_to_the_same_bytes(base, file, tmp_path):
    adapters.save(adapters.load(base, file), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_adapter_of_a_reloaded_model_is_the_same(trained, file, tmp_path):
    trained.save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras")
    adapters.save(model, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("prefix", ["other_", None])
def test_base_rebuilt_under_other_names_is_matched_by_hash_and_told(
    trained, images, file, prefix, caplog
):
    with caplog.at_level(logging.WARNING, "kphotoz"):
        model = adapters.load(_build(prefix), file)
    np.testing.assert_allclose(model(images), trained(images), atol=1e-6)
    assert "stem goes to" in caplog.text and "by position" in caplog.text


def test_tampered_kernel_is_refused_with_both_hashes(base, file):
    from kphotoz.files import hash_arrays

    kernel = base.get_layer("block").kernel
    before = hash_arrays(value(kernel))
    kernel.assign(value(kernel) + 1e-3)
    after = hash_arrays(value(kernel))
    with pytest.raises(InputError, match=f"{before} at block.*{after}"):
        adapters.load(base, file)


def test_base_that_differs_elsewhere_is_accepted_and_told(base, file, caplog):
    base.get_layer("head_2").bias.assign([5.0])
    with caplog.at_level(logging.WARNING, "kphotoz"):
        adapters.load(base, file)
    assert "differs in some weights" in caplog.text


def test_renamed_and_changed_base_is_refused(file):
    model = _build("other_")
    model.get_layer("other_block").bias.assign(np.ones(8))
    with pytest.raises(InputError, match="stem_norm|head_2"):
        adapters.load(model, file)


def test_two_equal_kernels_under_other_names_are_refused(tmp_path):
    def twice(names):
        layers = [keras.layers.Dense(5, name=name) for name in names]
        model = keras.Sequential([keras.Input((5,)), *layers])
        for layer in layers:
            layer.kernel.assign(np.eye(5))
        return model

    path = tmp_path / "a.safetensors"
    adapters.save(adapters.apply(twice("ab"), 1), path)
    with pytest.raises(InputError, match="2 layers with that kernel"):
        adapters.load(twice("cd"), path)


def test_model_that_apply_did_not_make_is_refused(tmp_path):
    from kphotoz.layers import LoRADense

    model = keras.Sequential([keras.Input((5,)), LoRADense(3, rank=1)])
    with pytest.raises(InputError, match="adapters.apply"):
        adapters.save(model, tmp_path / "a.safetensors")


def test_adapter_is_a_small_fraction_of_the_model(trained, file):
    numbers = 4 * (adapters.count(trained) + 4 * 6 + 7 + 1)
    assert numbers <= file.stat().st_size < numbers + 4000


def test_sublayers_of_a_layer_that_trains_in_full_are_in_the_file(tmp_path):
    tokens = keras.Input((4, 6))
    attention = keras.layers.MultiHeadAttention(2, 3, name="mha")
    x = keras.layers.Dense(6, name="up")(attention(tokens, tokens))
    base = keras.Model(tokens, x)
    model = adapters.apply(base, 2, targets="up", train_also="^mha$")
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3)
    adapters.save(model, tmp_path / "a.safetensors")
    values = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    loaded = adapters.load(base, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(*(np.asarray(m(values)) for m in (model, loaded)))
    assert not np.allclose(model(values), base(values), atol=1e-2)


@pytest.mark.parametrize(
    ("shapes", "rank"),
    [([(3, 2), (2, 14)], 2), ([(8, 30), (30, 7)], 30)],
    ids=["sides", "rank"],
)
def test_factors_of_other_sides_or_ranks_are_refused(base, file, shapes, rank):
    header, tensors = file_format.read(file)
    entry = next(x for x in header.entries if x.path == "head_1")
    assert (tensors["lora/head_1/a"].shape, entry.shape) == ((8, 2), [8, 7])
    entry.rank = rank
    for name, shape in zip("ab", shapes, strict=True):
        tensors[f"lora/head_1/{name}"] = np.ones(shape, "float32")
    file_format.write(file, header, tensors)
    with pytest.raises(InputError, match="factors that"):
        adapters.load(base, file)


def test_a_place_from_the_end_is_no_header(file):
    header, tensors = file_format.read(file)
    header.head[0].index = -1
    file_format.write(file, header, tensors)
    with pytest.raises(InputError, match="a header that is not ours"):
        file_format.read(file)

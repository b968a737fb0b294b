import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from kphotoz import adapters
from kphotoz.errors import InputError

RANK, ALPHA = 3, 5.0
NAMES = {
    "features.0": "stem",
    "features.1": "block",
    "query": "query",
    "head": "head",
    "1d": "series",
}


def model():
    """Returns a disturbed model with every kind of layer that converts."""
    image = keras.Input((7, 6, 5))
    x = keras.layers.Conv2D(6, (3, 2), padding="same", name="stem")(image)
    x = keras.layers.Conv2D(4, 3, strides=2, name="block")(x)
    x = keras.layers.Reshape((-1, 4))(x)
    x = keras.layers.Conv1D(8, 2, name="series")(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (5, 3, 2), name="query")(x)
    x = keras.layers.Flatten()(x)
    made = keras.Model(image, keras.layers.Dense(7, name="head")(x))
    rng = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(rng.normal(0.0, 0.3, weight.shape))
    return made


# Shapes of PyTorch: (rank, inputs, *window) and (outputs, rank, 1, ...).
SHAPES = {
    "features.0": ((RANK, 5, 3, 2), (6, RANK, 1, 1)),
    "features.1": ((RANK, 6, 3, 3), (4, RANK, 1, 1)),
    "query": ((RANK, 8), (6, RANK)),
    "head": ((RANK, 30), (7, RANK)),
    "1d": ((RANK, 4, 2), (8, RANK, 1)),
}


def stored(ranks=None):
    rng = np.random.default_rng(1)
    tensors = {}
    for module, (a, b) in SHAPES.items():
        rank = (ranks or {}).get(module, RANK)
        shapes = {"A": (rank, *a[1:]), "B": (b[0], rank, *b[2:])}
        for name, shape in shapes.items():
            key = f"base_model.model.{module}.lora_{name}.weight"
            tensors[key] = rng.normal(0.0, 0.3, shape).astype("float32")
    return tensors


def write(folder, tensors=None, **changed):
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config | changed))
    path = folder / "adapter_model.safetensors"
    safetensors.numpy.save_file(stored() if tensors is None else tensors, path)
    return folder


def expected_update(tensors, module, scale, shape):
    """Returns scale * sum_r B A as PyTorch lays kernels out, moved to Keras' layout."""
    key = f"base_model.model.{module}.lora_"
    a, b = tensors[key + "A.weight"], tensors[key + "B.weight"]
    b = b.reshape(b.shape[:2])
    delta = scale * np.einsum("or,r...->o...", b, a)
    return np.moveaxis(delta, (0, 1), (-1, -2)).reshape(shape)


def check_updates(made, tensors, scales):
    paths = {path: module for module, path in NAMES.items()}
    found = {x.path: x for x in made}
    assert sorted(found) == sorted(paths)
    for path, adapter in found.items():
        module = paths[path]
        shape = tuple(adapter.kernel.shape)
        wanted = expected_update(tensors, module, scales[module], shape)
        np.testing.assert_allclose(adapter.update(), wanted, rtol=1e-5, atol=1e-6)


def found(adapted):
    from kphotoz.adapters.inventory import adapters_of

    return adapters_of(adapted)


@pytest.mark.parametrize("names", [NAMES, NAMES.get], ids=["dict", "callable"])
def test_updates_are_those_of_the_file(tmp_path, names):
    base, tensors = model(), stored()
    before = base.get_weights()
    adapted = adapters.from_peft(write(tmp_path / "a"), base, names)
    check_updates(found(adapted), tensors, dict.fromkeys(NAMES, ALPHA / RANK))
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_outputs_are_those_of_kernels_with_the_update(tmp_path):
    base, tensors = model(), stored()
    x = np.random.default_rng(2).normal(size=(3, 7, 6, 5)).astype("float32")
    adapted = adapters.from_peft(write(tmp_path / "a"), base, NAMES)
    received = keras.ops.convert_to_numpy(adapted(x))
    for module, path in NAMES.items():
        kernel = base.get_layer(path).kernel
        shape = tuple(kernel.shape)
        kernel.assign_add(expected_update(tensors, module, ALPHA / RANK, shape))
    np.testing.assert_allclose(received, base(x), rtol=1e-4, atol=1e-5)


def test_patterns_and_rank_stabilised_scale_are_read(tmp_path):
    ranks = {"features.0": 2, "features.1": 4}
    tensors = stored(ranks)
    folder = write(
        tmp_path / "a",
        tensors,
        use_rslora=True,
        rank_pattern={"0": 2, r"^features\.1": 4, "eatures.1": 9},
        alpha_pattern={"head|query": 7.0},
    )
    adapted = adapters.from_peft(folder, model(), NAMES)
    ranks = dict.fromkeys(NAMES, RANK) | ranks
    alphas = dict.fromkeys(NAMES, ALPHA) | {"head": 7.0, "query": 7.0}
    scales = {module: alphas[module] / ranks[module] ** 0.5 for module in NAMES}
    check_updates(found(adapted), tensors, scales)


def in_safetensors(tensors):
    """Returns the bytes of a file of bfloat16, which numpy cannot write."""
    header, data = {}, b""
    for key, value in tensors.items():
        part = (value.view("<u4") >> 16).astype("<u2").tobytes()
        places = [len(data), len(data) + len(part)]
        header[key] = {"dtype": "BF16", "shape": value.shape, "data_offsets": places}
        data += part
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("kind", ["F16", "BF16", "F64"])
def test_other_precisions_are_read(tmp_path, kind):
    tensors = stored()
    folder = write(tmp_path / "a")
    if kind == "BF16":
        # The upper half of a float32, which is what bfloat16 is.
        raw = {k: np.ascontiguousarray(v).view("<u4") for k, v in tensors.items()}
        tensors = {k: (v & 0xFFFF0000).view("<f4") for k, v in raw.items()}
        data = in_safetensors(tensors)
        (folder / "adapter_model.safetensors").write_bytes(data)
    else:
        kinds = {"F16": "float16", "F64": "float64"}
        tensors = {key: value.astype(kinds[kind]) for key, value in tensors.items()}
        write(tmp_path / "a", tensors)
        tensors = {key: value.astype("float32") for key, value in tensors.items()}
    adapted = adapters.from_peft(folder, model(), NAMES)
    check_updates(found(adapted), tensors, dict.fromkeys(NAMES, ALPHA / RANK))


def test_result_is_saved_and_loaded_as_any_adapter(tmp_path):
    base = model()
    adapted = adapters.from_peft(write(tmp_path / "a"), base, NAMES)
    adapters.save(adapted, tmp_path / "ours.safetensors")
    again = adapters.load(base, tmp_path / "ours.safetensors")
    x = np.random.default_rng(2).normal(size=(2, 7, 6, 5)).astype("float32")
    np.testing.assert_array_equal(adapted(x), again(x))


def test_dropout_of_the_file_is_kept_or_refused(tmp_path):
    folder = write(tmp_path / "a", lora_dropout=0.25)
    image = keras.Input((4,))
    plain = keras.Model(image, keras.layers.Dense(6, name="head")(image))
    tensors = {
        "base_model.model.h.lora_A.weight": np.ones((RANK, 4), "float32"),
        "base_model.model.h.lora_B.weight": np.ones((6, RANK), "float32"),
    }
    write(tmp_path / "a", tensors, lora_dropout=0.25)
    adapted = adapters.from_peft(folder, plain, {"h": "head"})
    assert adapted.get_layer("head").dropout == 0.25
    adapted = adapters.from_peft(folder, plain, {"h": "head"}, dropout=0.0)
    assert adapted.get_layer("head").dropout == 0.0


def _refused(folder, match, names=NAMES, base=None):
    with pytest.raises(InputError, match=match) as caught:
        adapters.from_peft(folder, base or model(), names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"use_dora": True}, "use_dora=True.*Merge it"),
        ({"bias": "all"}, "bias='all'"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["head"]}, "modules_to_save.*belong to the base"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base"),
        ({"kasa_config": {}, "use_bdlora": {"nblocks": 2}}, "block-diagonal"),
        ({"peft_type": "LOHA"}, "peft_type"),
        ({"r": 0}, "r: .*0"),
        ({"r": 4}, "whose rank is 4"),
        ({"lora_alpha": -1}, "lora_alpha"),
        ({"rank_pattern": {"(": 2}}, "the pattern"),
        ({"use_rslora": "false"}, "use_rslora: .*boolean"),
        ({"init_lora_weights": "OLoRA"}, "changed the base.*Let PEFT convert"),
        ({"init_lora_weights": "loftq"}, "quantized the base. Start"),
        ({"init_lora_weights": "new"}, "'new', which PEFT 0.21.2 lacks"),
        ({"use_newest": {"x": 1}}, "use_newest.*PEFT 0.21.2 lacks. If it concerns"),
    ],
)
def test_configurations_that_do_more_are_refused(tmp_path, changed, match):
    _refused(write(tmp_path / "a", **changed), match)


def test_options_that_change_no_function_are_read(tmp_path):
    harmless = {
        "fan_in_fan_out": True,
        "init_lora_weights": "Gaussian",
        "use_rslora": None,
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "megatron_core": "megatron.core",
        "auto_mapping": {"base_model_class": "M"},
        "use_newest": False,
    }
    adapted = adapters.from_peft(write(tmp_path / "a", **harmless), model(), NAMES)
    check_updates(found(adapted), stored(), dict.fromkeys(NAMES, ALPHA / RANK))


def one(folder, module, **config):
    """Writes an adapter of one linear module."""
    tensors = {
        f"base_model.model.{module}.lora_A.weight": np.ones((RANK, 4), "float32"),
        f"base_model.model.{module}.lora_B.weight": np.ones((6, RANK), "float32"),
    }
    return write(folder, tensors, **config)


def linear():
    image = keras.Input((4,))
    return keras.Model(image, keras.layers.Dense(6, name="head")(image))


# What `check_target_module_exists` of PEFT 0.21.2 says of these.
TARGETS = [
    ({"target_modules": ["q"]}, "layers.1.q", True),
    ({"target_modules": ["q"]}, "layers.0.qq", False),
    ({"target_modules": ["1.q"]}, "layers.1.q", True),
    ({"target_modules": []}, "q", False),
    ({"target_modules": "q"}, "layers.1.q", False),
    ({"target_modules": r".*\.q"}, "layers.1.q", True),
    ({"target_modules": ["q"], "exclude_modules": ["q"]}, "layers.1.q", False),
    ({"target_modules": ["q"], "exclude_modules": ["0.q"]}, "layers.1.q", True),
    ({"target_modules": ["q"], "exclude_modules": ".*1.*"}, "layers.1.q", False),
    ({"target_modules": ["q"], "layers_to_transform": 1}, "m.layers.1.q", True),
    ({"target_modules": ["q"], "layers_to_transform": 1}, "layers.1.q", False),
    ({"target_modules": ["q"], "layers_to_transform": [0, 2]}, "m.layers.1.q", False),
    ({"target_modules": ["q"], "layers_to_transform": []}, "layers.1.q", True),
    ({"target_modules": ["q"], "layers_to_transform": 0}, "m.h.1.experts.0.q", False),
    ({"target_modules": ["q"], "layers_to_transform": 1}, "q", True),
    (
        {"target_modules": ["q"], "layers_to_transform": 2, "layers_pattern": "h"},
        "m.layers.1.h.2.q",
        True,
    ),
    (
        {"target_modules": ["q"], "layers_to_transform": 2, "layers_pattern": ["k"]},
        "m.layers.1.h.2.q",
        False,
    ),
]


@pytest.mark.parametrize(("config", "module", "read"), TARGETS)
def test_modules_that_peft_passes_over_are_refused(tmp_path, config, module, read):
    folder = one(tmp_path / "a", module, **config)
    if read:
        adapters.from_peft(folder, linear(), {module: "head"})
    else:
        _refused(folder, "targets .* leave out", {module: "head"}, linear())


@pytest.mark.parametrize("targets", [None, "All-Linear"])
def test_targets_that_peft_finds_in_its_model_are_believed(tmp_path, targets):
    folder = one(tmp_path / "a", "q", target_modules=targets)
    adapters.from_peft(folder, linear(), {"q": "head"})


def test_a_pattern_of_targets_that_never_ends_is_not_searched(tmp_path):
    slow = "(a|aa)+" + "b" * 3
    folder = one(tmp_path / "a", "a" * 60, target_modules=slow, exclude_modules=slow)
    adapters.from_peft(folder, linear(), {"a" * 60: "head"})


def test_a_name_that_is_no_pattern_of_itself_finds_its_rank(tmp_path):
    # `get_pattern_key` returns the name where no pattern fits, and finds it as a key.
    patterns = {"alpha_pattern": {"a+b": 9.0}, "rank_pattern": {"a+b": RANK}, "r": 8}
    folder = one(tmp_path / "a", "a+b", **patterns)
    (adapter,) = found(adapters.from_peft(folder, linear(), {"a+b": "head"}))
    assert (adapter.rank, adapter.alpha) == (RANK, 9.0)


def test_attention_of_pytorch_is_refused_for_what_it_is(tmp_path):
    tensors = {}
    for module, outputs in (("attn", 12), ("attn.base_layer.out_proj", 4)):
        key = f"base_model.model.{module}.lora_"
        tensors[key + "A.weight"] = np.ones((RANK, 4), "float32")
        tensors[key + "B.weight"] = np.ones((outputs, RANK), "float32")
    _refused(write(tmp_path / "a", tensors), "attn, an nn.MultiheadAttention")


def test_pickled_and_missing_files_are_refused(tmp_path):
    _refused(tmp_path / "nothing", "without adapter_config.json")
    folder = write(tmp_path / "a")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    _refused(folder, "pickle.*safe_serialization=True")
    (folder / "adapter_model.bin").unlink()
    _refused(folder, "none instead of adapter_model.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_truncated_file_is_refused(tmp_path, kept):
    path = write(tmp_path / "a") / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    _refused(tmp_path / "a", "Copy it again")


@pytest.mark.parametrize("text", ["", "[]", '{"r": ', "[" * 100_000])
def test_damaged_configuration_is_refused(tmp_path, text):
    (write(tmp_path / "a") / "adapter_config.json").write_text(text)
    _refused(tmp_path / "a", "Wanted: a LoRA adapter of PEFT")


def test_other_tensors_and_halves_are_refused(tmp_path):
    extra = {"base_model.model.wte.lora_embedding_A": np.ones((2, 3), "float32")}
    _refused(write(tmp_path / "a", stored() | extra), "lora_embedding_A.*an embedding")
    for key, match in (
        ("head.lora_A.weight", "keys of base_model.model. only"),
        ("base_model.model.head.lora_A.default.weight", "an adapter's name"),
        ("base_model.model.head.lora_B.bias", "a factor has a bias"),
        ("base_model.model.head.lora_magnitude_vector", "DoRA"),
        ("base_model.model.head.base_layer.bias", "is no factor"),
    ):
        more = stored() | {key: np.ones(3, "float32")}
        _refused(write(tmp_path / "a", more), match)
    half = stored()
    half.pop("base_model.model.head.lora_B.weight")
    _refused(write(tmp_path / "a", half), "only lora_A of head")
    bad = stored()
    bad["base_model.model.head.lora_B.weight"][0, 0] = np.nan
    _refused(write(tmp_path / "a", bad), "not finite")
    _refused(write(tmp_path / "a", {}), "no tensors")


def test_names_must_match_one_to_one(tmp_path):
    folder = write(tmp_path / "a")
    less = {k: v for k, v in NAMES.items() if k != "query"}
    _refused(folder, "no layer for query", less)
    _refused(folder, "no adapter for tail", NAMES | {"tail": "head"})
    _refused(folder, "'head' for both", NAMES | {"query": "head"})
    _refused(folder, "'heads'. Near it are head", NAMES | {"head": "heads"})
    _refused(folder, "None", lambda name: None)


def test_factors_that_do_not_fit_are_refused(tmp_path):
    folder = write(tmp_path / "a")
    swapped = NAMES | {"query": "head", "head": "query"}
    _refused(folder, r"\(3, 8\) and \(6, 3\) for query.*\(3, 30\)", swapped)


class Doubled(keras.layers.Dense):
    def call(self, inputs, training=None):
        return 2.0 * super().call(inputs, training=training)


class Standardised(keras.layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - keras.ops.mean(kernel))


def quantized(layer, mode):
    layer.build((None, 6, 5, 4))
    layer.quantize(mode)
    return layer


def with_keras_lora():
    layer = keras.layers.Dense(4)
    layer.build((None, 6, 5, 4))
    layer.enable_lora(2)
    return layer


LAYERS = {
    "int8": (lambda: quantized(keras.layers.Dense(4), "int8"), "quantized .int8.*Take"),
    "int4": (lambda: quantized(keras.layers.Dense(4), "int4"), "quantized .int4.*Take"),
    "lora": (with_keras_lora, "has an adapter already. Merge that"),
    "depthwise": (lambda: keras.layers.DepthwiseConv2D(3), "mixes all channels"),
    "separable": (lambda: keras.layers.SeparableConv2D(4, 3), "two convolutions"),
    "transposed": (lambda: keras.layers.Conv2DTranspose(4, 3), "no transposed"),
    "embedding": (lambda: keras.layers.Embedding(4, 3), "no embeddings"),
    "norm": (keras.layers.BatchNormalization, "it is neither"),
    "own_call": (lambda: Doubled(4), "Doubled: its class has a call of its own"),
    "own_operation": (lambda: Standardised(4, 3), "a call of its own"),
    "einsum": (
        lambda: keras.layers.EinsumDense("bhwc,wcd->bhwd", (None, 5, 3)),
        "no single matrix",
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_that_peft_would_not_follow_are_refused_for_what_they_are(
    kind, tmp_path
):
    make, match = LAYERS[kind]
    layer = make()
    layer.name = "odd"
    image = keras.Input((6, 5, 4))
    base = keras.Model(image, layer(image))
    _refused(one(tmp_path / "a", "m"), match, {"m": "odd"}, base)


def test_a_base_with_adapters_is_refused_as_such(tmp_path):
    base = adapters.apply(linear(), 2)
    _refused(one(tmp_path / "a", "m"), "has an adapter already", {"m": "head"}, base)


class Back(keras.layers.Layer):
    """Goes back through the kernel of another layer, as an autoencoder does."""

    def __init__(self, kernel, **kwargs):
        super().__init__(**kwargs)
        self.shared = kernel

    def call(self, inputs):
        return inputs @ keras.ops.transpose(self.shared)


def test_a_kernel_of_two_layers_is_refused(tmp_path):
    layer = keras.layers.Dense(6, name="head")
    image = keras.Input((4,))
    hidden = layer(image)
    base = keras.Model(image, Back(layer.kernel, name="back")(hidden))
    _refused(one(tmp_path / "a", "m"), "also that of back", {"m": "head"}, base)


def test_a_rank_above_both_sides_of_a_kernel_is_refused(tmp_path):
    tensors = {
        "base_model.model.m.lora_A.weight": np.ones((8, 4), "float32"),
        "base_model.model.m.lora_B.weight": np.ones((6, 8), "float32"),
    }
    folder = write(tmp_path / "a", tensors, r=8)
    _refused(folder, "at most 6 for head.*8 for m", {"m": "head"}, linear())


def test_dropout_is_written(tmp_path):
    adapters.to_peft(adapters.apply(linear(), 2, dropout=0.2), tmp_path, {"m": "head"})
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["lora_dropout"] == 0.2


@pytest.mark.parametrize("names", ["dict", "callable"])
def test_file_written_holds_the_updates_in_torch_layout(tmp_path, names):
    base = model()
    ranks = {"block": 2, "head": 5}
    adapted = adapters.apply(base, 3, 4.5, rank_patterns=ranks)
    rng = np.random.default_rng(3)
    for adapter in found(adapted):
        adapter.a.assign(rng.normal(size=adapter.a.shape))
        adapter.b.assign(rng.normal(size=adapter.b.shape))
    back = {path: module for module, path in NAMES.items()}
    adapters.to_peft(adapted, tmp_path, NAMES if names == "dict" else back.get)
    tensors = safetensors.numpy.load_file(tmp_path / "adapter_model.safetensors")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 3 and config["lora_alpha"] == 4.5
    assert config["rank_pattern"] == {r"^features\.1": 2, "^head": 5}
    assert config["alpha_pattern"] == {}
    ranks = {back[p]: ranks.get(p, 3) for p in back}
    for module, (a, b) in SHAPES.items():
        key = f"base_model.model.{module}.lora_"
        assert tensors[key + "A.weight"].shape == (ranks[module], *a[1:])
        assert tensors[key + "B.weight"].shape == (b[0], ranks[module], *b[2:])
    scales = {module: 4.5 / rank for module, rank in ranks.items()}
    check_updates(found(adapted), tensors, scales)


def test_pissa_is_written_without_its_start(tmp_path):
    adapted = adapters.apply(model(), 2, 3.0, start="pissa")
    rng = np.random.default_rng(3)
    for adapter in found(adapted):
        adapter.a.assign_add(rng.normal(size=adapter.a.shape))
    adapters.to_peft(adapted, tmp_path, NAMES)
    tensors = safetensors.numpy.load_file(tmp_path / "adapter_model.safetensors")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["lora_alpha"] == 6
    check_updates(found(adapted), tensors, dict.fromkeys(NAMES, 1.5))


def test_there_and_back_keeps_factors_bit_for_bit(tmp_path):
    base = model()
    adapted = adapters.from_peft(write(tmp_path / "a"), base, NAMES)
    adapters.to_peft(adapted, tmp_path / "b", NAMES)
    again = safetensors.numpy.load_file(tmp_path / "b" / "adapter_model.safetensors")
    for key, value in stored().items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_what_the_file_would_lose_is_refused(tmp_path):
    base = model()
    with pytest.raises(InputError, match="has none"):
        adapters.to_peft(base, tmp_path, {})
    adapted = adapters.apply(base, 2, train_also="head")
    with pytest.raises(InputError, match="also trains head"):
        adapters.to_peft(adapted, tmp_path, NAMES)
    adapted = adapters.apply(base, 2, batch_norm="train")
    with pytest.raises(InputError, match="batch_norm='train'"):
        adapters.to_peft(adapted, tmp_path, NAMES)
    with pytest.raises(InputError, match="DoRA at"):
        adapters.to_peft(adapters.apply(base, 2, dora=True), tmp_path, NAMES)
    adapted = adapters.apply(base, 2, targets="^head$")
    with pytest.raises(InputError, match="no adapter for"):
        adapters.to_peft(adapted, tmp_path, NAMES)
    adapted = adapters.apply(base, 2)
    with pytest.raises(InputError, match="no module for series"):
        less = {"head": "head", "query": "query", "0": "stem", "1": "block"}
        adapters.to_peft(adapted, tmp_path, less)
    assert not (tmp_path / "adapter_config.json").exists()

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters.inventory import adapters_of
from kphotoz.errors import InputError

X = np.random.default_rng(2).normal(size=(3, 6, 5, 4)).astype("float32")
RANKS = {"stem": 3, "series": 2, "query": 2, "out": 3, "turned": 2, "head": 3}


@keras.saving.register_keras_serializable("kphotoz_keras_lora")
class Subclassed(keras.Model):
    def __init__(self, own_lora=None, **kwargs):
        super().__init__(**kwargs)
        self.stem = keras.layers.Conv2D(6, 3, name="stem")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.pool = keras.layers.GlobalAveragePooling2D(name="pool")
        self.head = keras.layers.Dense(7, lora_rank=own_lora, name="head")

    def call(self, x, training=None):
        return self.head(self.pool(self.norm(self.stem(x), training=training)))


def subclassed(own_lora=None):
    model = Subclassed(own_lora)
    model(X)
    return model


def functional():
    image = keras.Input((6, 5, 4))
    conv = keras.layers.Conv2D(6, 3, groups=2, activation="tanh", name="stem")
    x = keras.layers.Reshape((12, 6))(conv(image))
    x = keras.layers.Conv1D(8, 3, dilation_rate=2, name="series")(x)
    x = keras.layers.EinsumDense("abc,cde->abde", (8, 2, 12), name="query")(x)
    x = keras.layers.EinsumDense("abde,dec->abc", (8, 5), bias_axes="c", name="out")(x)
    x = keras.layers.EinsumDense("abc,dc->abd", (8, 6), name="turned")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(7, name="head")(x))


def enabled(make, alpha=5.0, zero=False):
    """Returns a model with Keras' LoRA, its base kernels, and its output."""
    model = make()
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = rng.normal(0.0, 0.3, weight.shape)
        weight.assign(np.abs(value) + 0.1 if "variance" in weight.name else value)
    layers = {x.name: x for x in model.layers if x.name in RANKS}
    kernels = {k: keras.ops.convert_to_numpy(v.kernel) for k, v in layers.items()}
    for name, layer in layers.items():
        layer.enable_lora(RANKS[name], lora_alpha=alpha)
        shape = layer.lora_kernel_b.shape
        if not zero:
            layer.lora_kernel_b.assign(rng.normal(0.0, 0.3, shape))
    return model, kernels, keras.ops.convert_to_numpy(model(X))


@pytest.mark.parametrize("make", [functional, subclassed])
def test_outputs_and_base_kernels_are_kept(make):
    model, kernels, output = enabled(make)
    before = model.get_weights()
    new = adapters.from_keras_lora(model)
    np.testing.assert_allclose(new(X), output, rtol=1e-5, atol=1e-6 * abs(output).max())
    found = {x.path: x for x in adapters_of(new)}
    assert sorted(found) == sorted(kernels)
    for path, adapter in found.items():
        np.testing.assert_array_equal(adapter.kernel, kernels[path])
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


def test_updates_are_the_explicit_products_and_ranks_are_those_they_need():
    model, kernels, _ = enabled(functional)
    new = adapters.from_keras_lora(model)
    for adapter in adapters_of(new):
        layer = model.get_layer(adapter.path)
        a, b = (np.asarray(x) for x in (layer.lora_kernel_a, layer.lora_kernel_b))
        wanted = 5.0 / RANKS[adapter.path] * np.einsum("...r,ro->...o", a, b)
        np.testing.assert_allclose(adapter.update(), wanted, rtol=1e-4, atol=1e-5)
    ranks = {x.path: x.rank for x in adapters_of(new)}
    # Keras' A of (8, 2, 2) gives an update of 8 × 24 the rank 4.
    assert ranks == RANKS | {"query": 4}


@pytest.mark.parametrize("make", [functional, subclassed])
def test_new_model_trains_saves_and_loads(make, tmp_path):
    model, _, output = enabled(make)
    new = adapters.from_keras_lora(model)
    before = adapters.snapshot(new)
    new.compile("adam", "mse")
    new.train_on_batch(X, np.zeros((3, 7)))
    adapters.check_moved(before, new, steps=1)
    new.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(X), new(X), rtol=1e-5, atol=1e-5)


def test_factors_that_keras_zeroed_on_reload_train_again(tmp_path):
    model, _, _ = enabled(functional)
    model.save(tmp_path / "model.keras")
    dead = keras.models.load_model(tmp_path / "model.keras")
    assert not np.asarray(dead.get_layer("stem").lora_kernel_a).any()
    output = keras.ops.convert_to_numpy(dead(X))
    new = adapters.from_keras_lora(dead)
    np.testing.assert_allclose(new(X), output, rtol=1e-5, atol=1e-5)
    before = adapters.snapshot(new)
    new.compile("adam", "mse")
    for _ in range(2):
        new.train_on_batch(X, np.zeros((3, 7)))
    adapters.check_moved(before, new)


def test_scale_in_force_counts_where_keras_lost_alpha():
    image = keras.Input((5,))
    layer = keras.layers.Dense(6, lora_rank=2, lora_alpha=8)
    model = keras.Model(image, layer(image))
    layer.lora_kernel_b.assign(np.ones((2, 6)))
    x = np.ones((2, 5), "float32")
    new = adapters.from_keras_lora(model)
    np.testing.assert_allclose(new(x), model(x), rtol=1e-5)


def test_rank_above_the_kernel_is_reduced_without_loss():
    image = keras.Input((40,))
    layer = keras.layers.Dense(3)
    model = keras.Model(image, layer(image))
    layer.enable_lora(7)
    layer.lora_kernel_b.assign(np.random.default_rng(0).normal(size=(7, 3)))
    x = np.ones((2, 40), "float32")
    with pytest.raises(InputError, match="allow_full_rank=True"):
        adapters.from_keras_lora(model)
    new = adapters.from_keras_lora(model, allow_full_rank=True)
    assert adapters_of(new)[0].rank == 3
    np.testing.assert_allclose(new(x), model(x), rtol=1e-5, atol=1e-5)


def test_heads_and_batch_norm_can_go_on_training():
    image = keras.Input((6, 5, 4))
    x = keras.layers.Conv2D(6, 3, name="stem")(image)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization(name="norm")(x))
    model = keras.Model(image, keras.layers.Dense(7, name="head")(x))
    model.get_layer("stem").enable_lora(2)
    new = adapters.from_keras_lora(model, train_also="head", batch_norm="train")
    assert len(new.trainable_variables) == 6
    with pytest.raises(InputError, match="train_also.*stem"):
        adapters.from_keras_lora(model, train_also="stem|head")


def _refused(model, match):
    with pytest.raises(InputError, match=match) as caught:
        adapters.from_keras_lora(model)
    assert "\n" not in str(caught.value)


def test_what_has_no_form_here_is_refused():
    _refused(functional(), "which has none. Use adapters.apply")
    image = keras.Input((6,), dtype="int32")
    layer = keras.layers.Embedding(10, 4, name="words")
    model = keras.Model(image, keras.layers.Dense(5)(layer(image)))
    layer.enable_lora(2)
    _refused(model, "Embedding at words, for which there is no adapter")
    _refused(adapters.apply(functional()), "adapters of ours too")
    image = keras.Input((6,))
    layer = keras.layers.Dense(5, name="dense")
    model = keras.Model(image, layer(image))
    layer.enable_lora(2)
    layer.quantize("int8")
    _refused(model, "a quantized kernel at dense")


def test_class_that_makes_lora_itself_is_refused():
    class Own(Subclassed):
        def __init__(self, **kwargs):
            super().__init__(own_lora=2, **kwargs)

    model = Own()
    model(X)
    _refused(model, "leave lora_rank out")

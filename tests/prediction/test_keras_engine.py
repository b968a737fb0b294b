"""What predicts is leaner than the model that was saved, and predicts the same."""

import keras
import numpy as np
import pytest

from kphotoz import adapters, models
from kphotoz.layers import BandStretch, BatchNormalization
from kphotoz.layers._lora import LoRAMixin
from kphotoz.prediction import keras_engine


class Subclassed(keras.Model):
    """A model that no clone rebuilds layer by layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(4, activation="tanh", name="dense")
        self.out = keras.layers.Dense(1, name="out")

    def call(self, inputs):
        return self.out(self.dense(inputs))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).normal(size=(5, 10, 12, 4)).astype("float32")


@pytest.fixture(scope="module")
def network():
    """A network whose normalisation changes the output."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((10, 12, 4))
    x = keras.layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(x))
    rng = np.random.default_rng(6)
    model.get_layer("norm").set_weights(
        [rng.uniform(0.5, 1.5, 6), *rng.normal(size=(2, 6)), rng.uniform(0.5, 1.5, 6)]
    )
    return model


def moved(adapted):
    for weight in adapted.trainable_variables:
        weight.assign(weight + 0.1)
    return adapted


def kinds(model):
    return {type(layer) for layer in adapters.building.paths.walk(model).values()}


def check_same(model, lean, inputs):
    wanted = model.predict_on_batch(inputs)
    found = keras_engine.keras_call(lean)(inputs)
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_normalisation_is_folded_and_the_model_left_alone(network, images):
    lean = keras_engine.lean(network)
    assert keras.layers.BatchNormalization not in kinds(lean)
    assert keras.layers.BatchNormalization in kinds(network)
    check_same(network, lean, images)


def test_stretch_is_one_pass_in_a_copy(images, tmp_path):
    inputs = keras.Input((10, 12, 4))
    stretch = BandStretch("griz", 0.2, softening=[0.5, 1, 2, 3], name="stretch")
    x = keras.layers.GlobalMaxPooling2D()(stretch(inputs=inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(x))
    lean = keras_engine.lean(model)
    check_same(model, lean, images)
    assert "call" not in vars(stretch)
    fused = "call" in vars(lean.get_layer("stretch"))
    assert fused == (keras.backend.backend() == "tensorflow")
    lean.save(tmp_path / "lean.keras")
    check_same(model, models.load(tmp_path / "lean.keras"), images)


class Forgetful(keras.Layer):
    """Takes an argument that its configuration leaves out."""

    def __init__(self, place, **kwargs):
        super().__init__(**kwargs)
        self.place = place

    def call(self, x):
        return x[:, self.place, self.place]

    def get_config(self):
        return {"name": self.name}


def _with_normalisation_before(layer):
    inputs = keras.Input((10, 12, 4))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(layer(x)))


def test_a_layer_that_its_configuration_does_not_bring_back_stays():
    model = _with_normalisation_before(Forgetful(0))
    assert keras_engine.lean(model) is model


def test_a_function_of_the_models_own_comes_along(images):
    model = _with_normalisation_before(keras.layers.Lambda(lambda y: y[:, 0, 0]))
    lean = keras_engine.lean(model)
    assert keras.layers.BatchNormalization not in kinds(lean)
    check_same(model, lean, images)


def test_adapters_are_merged_and_folded(network, images):
    adapted = moved(adapters.apply(network, rank=2, batch_norm="freeze"))
    lean = keras_engine.lean(adapted)
    found = kinds(lean)
    assert not found & {keras.layers.BatchNormalization, BatchNormalization}
    assert not any(issubclass(kind, LoRAMixin) for kind in found)
    check_same(adapted, lean, images)


def test_adapters_of_a_subclassed_model_are_merged():
    model = Subclassed()
    inputs = np.random.default_rng(3).normal(size=(7, 5)).astype("float32")
    model(inputs)
    adapted = moved(adapters.apply(model, rank=1, targets="dense"))
    lean = keras_engine.lean(adapted)
    assert not isinstance(lean, adapters.AdaptedModel)
    check_same(adapted, lean, inputs)


def test_policy_of_the_process_leaves_a_saved_model_its_own(network, images, tmp_path):
    """`--precision` is for OpenVINO: Keras computes as the model was saved."""
    network.save(tmp_path / "model.keras")
    wanted = keras_engine.keras_call(keras_engine.lean(network))(images)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        lean = keras_engine.lean(models.load(tmp_path / "model.keras"))
        np.testing.assert_array_equal(keras_engine.keras_call(lean)(images), wanted)
        assert keras_engine.identity(lean)["precision"] == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_precision_is_that_of_the_layers():
    inputs = keras.Input((3,))
    for policy, told in (("float32", "float32"), ("mixed_bfloat16", "bfloat16")):
        model = keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(inputs))
        assert keras_engine.identity(model)["precision"] == told

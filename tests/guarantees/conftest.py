"""Small models of every kind the adapters promise to handle."""

import functools

import keras
import numpy as np
import pytest

from kphotoz import adapters

IMAGE = (8, 6, 5)
# Values come from `disturb`; drawing them first costs JAX a compilation for each shape.
Conv2D = functools.partial(keras.layers.Conv2D, kernel_initializer="zeros")
Dense = functools.partial(keras.layers.Dense, kernel_initializer="zeros")


@keras.saving.register_keras_serializable(package="kphotoz_tests")
class Subclassed(keras.Model):
    """A block with batch normalisation, seeds and no graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = Conv2D(6, 3, name="conv")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.pool = keras.layers.GlobalAveragePooling2D(name="pool")
        self.drop = keras.layers.Dropout(0.2, seed=1, name="drop")
        self.head = Dense(2, name="head")

    def call(self, x, training=None):
        x = keras.ops.relu(self.norm(self.conv(x), training=training))
        return self.head(self.drop(self.pool(x), training=training))


def functional():
    image = keras.Input(IMAGE, name="image")
    x = Conv2D(6, 3, padding="same", use_bias=False, name="stem")(image)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    y = Conv2D(6, 3, padding="same", name="block")(x)
    x = keras.layers.Add(name="add")([x, y])
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = Dense(5, activation="silu", name="head_1")(x)
    x = keras.layers.Dropout(0.1, seed=2, name="head_drop")(x)
    return keras.Model(image, Dense(2, name="head_2")(x), name="small")


def sequential():
    layers = [
        Conv2D(6, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(),
        Dense(2, name="head"),
    ]
    return keras.Sequential([keras.Input(IMAGE), *layers])


def nested():
    inner = functional()
    image = keras.Input(IMAGE)
    x = keras.ops.concatenate([inner(image), inner(image * 2.0)], axis=-1)
    return keras.Model(image, Dense(3, name="last")(x), name="outer")


def subclassed():
    model = Subclassed(name="sub")
    model(np.zeros((1, *IMAGE), "float32"))
    return model


def attention():
    image = keras.Input(IMAGE)
    x = keras.layers.Reshape((-1, 5))(image)
    x = Dense(8, name="embed")(x)
    x = keras.layers.MultiHeadAttention(2, 4, kernel_initializer="zeros", name="mha")(
        x, x
    )
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(image, Dense(2, name="head")(x), name="attention")


def keras_hub_backbone():
    import keras_hub

    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=IMAGE,
    )


KINDS = {
    f.__name__: f
    for f in (functional, sequential, nested, subclassed, attention, keras_hub_backbone)
}


def disturb(model, seed=0):
    """Gives every weight a value that no initializer has."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(
            np.abs(rng.normal(1.0, 0.3, weight.shape))
            if "variance" in weight.name
            else rng.normal(0.0, 0.3, weight.shape)
        )
    return model


@pytest.fixture
def small():
    """A disturbed Functional model of convolutions, normalisation and dense layers."""
    keras.utils.set_random_seed(3)
    return disturb(functional())


def loss_options():
    """Options of compile under which a step compiles quickly on this backend."""
    return {"loss": "mse", "jit_compile": keras.backend.backend() == "jax"}


class Story:
    """One base of a kind, adapted, trained two steps, toggled, saved and loaded."""

    def __init__(self, kind, folder):
        keras.utils.set_random_seed(3)
        rng = np.random.default_rng(7)
        self.kind, self.folder = kind, folder
        self.images = rng.normal(1.0, 1.0, size=(4, *IMAGE)).astype("float32")
        self.base = disturb(KINDS[kind]())
        self.base_weights = self.base.get_weights()
        self.base_output = self.call(self.base)
        self.targets = rng.normal(size=self.base_output.shape)
        self.model = adapters.apply(
            self.base, rank=1, alpha=2.0, batch_norm="adapt_statistics"
        )
        self.was_compiled = self.model.compiled
        self.start_output = self.call(self.model)
        self.before = adapters.snapshot(self.model)
        self.compile(self.model)
        self.step(self.model)
        self.after_one = self.moves(self.before, self.model)
        self.step(self.model)
        self.after_two = self.moves(self.before, self.model)
        self.model.trainable = False
        self.model.trainable = True
        self.output = self.call(self.model)

    def call(self, model):
        return keras.ops.convert_to_numpy(model(self.images, training=False))

    def compile(self, model):
        model.compile(keras.optimizers.SGD(0.05), **loss_options())

    def step(self, model):
        model.train_on_batch(self.images, self.targets)

    def moves(self, before, model):
        unmoved = {x: adapters.unmoved_factors(before, model, x) for x in "AB"}
        return unmoved | {"frozen": adapters.frozen_changed(before, model)}

    @functools.cached_property
    def reloaded(self):
        self.model.save(self.folder / "model.keras")
        return keras.models.load_model(self.folder / "model.keras", compile=False)

    @functools.cached_property
    def file(self):
        adapters.save(self.model, self.folder / "adapter.safetensors")
        return self.folder / "adapter.safetensors"

    @functools.cached_property
    def merged(self):
        return adapters.merge(self.model)


@pytest.fixture(scope="session", params=KINDS)
def story(request, tmp_path_factory):
    """The story of each kind, told once."""
    return Story(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def images():
    """Four images of the shape all models take."""
    return np.random.default_rng(7).normal(size=(4, *IMAGE)).astype("float32")


@pytest.fixture(scope="session")
def kinds():
    """Builders of disturbed models by kind."""

    def builder(make):
        return lambda: disturb(make())

    return {name: builder(make) for name, make in KINDS.items()}


@pytest.fixture(scope="session")
def compile_options():
    """The loss, and jit where the backend compiles quickly."""
    return loss_options()

"""Folded batch normalisation gives what the unfolded model gives."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError

TOLERANCE = 1e-5


def _normalised(layer):
    """A model of one layer, its normalisation and a head; channels come last."""
    image = keras.Input((6, 6, 4))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(layer(image)))
    return keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))


def _disturb(model):
    rng = np.random.default_rng(4)
    for weight in model.weights:
        spread = rng.normal(0.0, 0.3, weight.shape)
        weight.assign(np.exp(spread) if "variance" in weight.name else spread)
    return model


def _norms(model):
    kind = keras.layers.BatchNormalization
    return [x for x in adapters.paths.walk(model).values() if isinstance(x, kind)]


LAYERS = {
    "convolution": lambda: keras.layers.Conv2D(8, 3, strides=2),
    "no bias": lambda: keras.layers.Conv2D(8, 3, padding="same", use_bias=False),
    "grouped": lambda: keras.layers.Conv2D(8, 3, groups=2),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
    "dense": lambda: keras.layers.Dense(5),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_folded_copy_predicts_the_same_without_normalisations(kind):
    model = _disturb(_normalised(LAYERS[kind]()))
    folded = adapters.fold(model)
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype("float32")
    want, got = model.predict_on_batch(x), folded.predict_on_batch(x)
    assert not _norms(folded)
    np.testing.assert_allclose(got, want, atol=TOLERANCE * np.abs(want).max())
    assert model.count_params() > folded.count_params()


@pytest.mark.parametrize("kind", ["functional", "sequential", "nested"])
def test_a_merged_model_folds_and_predicts_the_same(kind, kinds, images):
    model = adapters.apply(kinds[kind](), rank=1, train_also="head.*|last")
    _disturb(model)
    merged = adapters.merge(model)
    folded = adapters.fold(merged)
    want = keras.ops.convert_to_numpy(model(images, training=False))
    got = keras.ops.convert_to_numpy(folded(images, training=False))
    np.testing.assert_allclose(got, want, atol=TOLERANCE * np.abs(want).max())
    assert _norms(merged) and not _norms(folded)


def _unfoldable():
    """Models in which a normalisation must stay, by the reason."""
    image = keras.Input((6, 6, 4))
    norm, conv = keras.layers.BatchNormalization, keras.layers.Conv2D
    x, y, shared = conv(4, 1)(image), conv(4, 1)(image), conv(4, 1)
    outputs = {
        "two_readers": keras.layers.Add()([norm()(x), x]),
        "with_activation": norm()(conv(4, 1, activation="tanh")(image)),
        "wrong_axis": norm(axis=1)(conv(4, 1)(image)),
        "an_output": [norm()(y), y],
        "used_twice": keras.layers.Add()([norm()(shared(image)), shared(image)]),
    }
    return {reason: (image, output) for reason, output in outputs.items()}


@pytest.mark.parametrize("reason", list(_unfoldable()))
def test_what_cannot_be_folded_stays(reason):
    model = _disturb(keras.Model(*_unfoldable()[reason]))
    folded = adapters.fold(model)
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype("float32")
    pairs = zip(
        keras.tree.flatten(model.predict_on_batch(x)),
        keras.tree.flatten(folded.predict_on_batch(x)),
        strict=True,
    )
    assert len(_norms(folded)) == 1
    for want, got in pairs:
        np.testing.assert_array_equal(got, want)


@keras.saving.register_keras_serializable(package="test_folding")
class Block(keras.Model):
    """A model inside a graph that is no graph itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(4)

    def call(self, inputs):
        return self.inner(inputs)


COMPOSITES = {
    "attention": lambda x: keras.layers.MultiHeadAttention(2, 3)(x, x),
    "recurrent": lambda x: keras.layers.Bidirectional(
        keras.layers.GRU(2, return_sequences=True)
    )(x),
    "wrapper": lambda x: keras.layers.TimeDistributed(keras.layers.Dense(4))(x),
    "activation": lambda x: keras.layers.Dense(4, activation=keras.layers.PReLU())(x),
    "subclassed model": lambda x: Block()(x),
}


@pytest.mark.parametrize("kind", COMPOSITES)
def test_layers_made_of_layers_keep_their_weights_in_a_folded_copy(kind):
    series = keras.Input((6, 4))
    x = keras.layers.BatchNormalization()(keras.layers.Conv1D(4, 1)(series))
    model = _disturb(keras.Model(series, COMPOSITES[kind](x)))
    folded = adapters.fold(model)
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
    want, got = model.predict_on_batch(x), folded.predict_on_batch(x)
    assert not _norms(folded) and np.ptp(want) > 0.1
    np.testing.assert_allclose(got, want, atol=TOLERANCE * np.abs(want).max())


def test_folding_adapters_for_prediction_says_to_merge_first(small):
    with pytest.raises(InputError, match="merge"):
        adapters.fold(adapters.apply(small, rank=1))


def test_folding_what_has_no_graph_is_refused(kinds):
    with pytest.raises(InputError, match="Functional or Sequential"):
        adapters.fold(kinds["subclassed"]())


OPTIONS = {
    "kernel": {"formulation": "kernel"},
    "factored": {"formulation": "factored"},
    "two branches": {"formulation": "two_branches"},
    "dora": {"formulation": "factored", "dora": True},
    "pissa": {"formulation": "factored", "start": "pissa"},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_folded_steps_train_what_unfolded_steps_train(
    option, small, images, compile_options
):
    plain, folded = (
        adapters.apply(small, rank=2, batch_norm="freeze", **OPTIONS[option])
        for _ in range(2)
    )
    for weight, other in zip(plain.weights, folded.weights, strict=True):
        if "lora_" in weight.path and "start" not in weight.path:
            value = np.random.default_rng(2).normal(0, 0.1, weight.shape)
            weight.assign(value)
            other.assign(value)
    assert adapters.fold_training(folded) == ["stem_norm"]
    targets = np.ones((len(images), 2), "float32")
    for model in (plain, folded):
        model.compile(keras.optimizers.SGD(0.1), **compile_options)
    for _ in range(3):
        losses = [x.train_on_batch(images, targets) for x in (plain, folded)]
        assert losses[1] == pytest.approx(losses[0], rel=TOLERANCE)
    for weight, other in zip(plain.weights, folded.weights, strict=True):
        want = keras.ops.convert_to_numpy(weight)
        got = keras.ops.convert_to_numpy(other)
        atol = TOLERANCE * max(1.0, np.abs(want).max())
        np.testing.assert_allclose(got, want, atol=atol, err_msg=weight.path)


@pytest.mark.parametrize("policy", ["adapt_statistics", "train"])
def test_normalisations_that_move_are_not_folded(policy, small):
    model = adapters.apply(small, rank=1, batch_norm=policy)
    assert adapters.fold_training(model) == []


def test_folding_for_training_leaves_files_and_reloads_alone(small, images, tmp_path):
    model = adapters.apply(small, rank=1, batch_norm="freeze")
    before = keras.ops.convert_to_numpy(model(images))
    model.save(tmp_path / "unfolded.keras")
    adapters.fold_training(model)
    model.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(images)), before)
    old = keras.models.load_model(tmp_path / "unfolded.keras").get_weights()
    for one, other in zip(old, again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_folding_after_a_fit_takes_effect(small, images, compile_options):
    model = adapters.apply(small, rank=1, batch_norm="freeze")
    model.compile(keras.optimizers.SGD(0.0), **compile_options)
    targets = np.ones((len(images), 2), "float32")
    model.fit(images, targets, verbose=0)
    adapters.fold_training(model)
    # A step that is traced anew meets this; one compiled before would not.
    _norms(model)[0].call = None
    with pytest.raises(TypeError):
        model.fit(images, targets, verbose=0)

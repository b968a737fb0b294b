import keras
import numpy as np
import pytest

from kphotoz import recipes, regimes
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.frozen import FrozenFeatures, split
from kphotoz.regimes.run_regime import run

# Without augmentation and dropout training a head on features is training the whole.
MODEL = {"name": "small_cnn", "filters": [4, 4], "radii": [1.5, 3.0, 6.0]}
MODEL |= {"photometry_units": [8], "head_units": [8], "image_units": 4}
MODEL |= {"augment": False, "photometry_dropout": 0.0, "head_dropout": 0.0}
MODEL |= {"quantile_dropout": 0.0, "image_dropout": 0.0}
TRAINING = {"epochs": 2, "batch_size": 16, "minimum_steps": 0, "ema": None}


@pytest.fixture(scope="module")
def experiment(make_sample):
    sizes = {"train": 32, "validation": 16, "calibration": 4, "test": 8}
    splits = {n: make_sample(s, i, tag=n) for i, (n, s) in enumerate(sizes.items())}
    recipe = recipes.load(overlay={"model": MODEL, "training": TRAINING})
    return Experiment(recipe, splits, splits)


@pytest.fixture(scope="module")
def base(experiment, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "model.keras"
    experiment.fresh(experiment.target["train"], 0).save(path)
    return path


def head(model):
    return [
        keras.ops.convert_to_numpy(w)
        for layer in model.layers
        if layer.name in ("head_bins", "head_redshift")
        for w in layer.weights
    ]


def test_training_on_features_is_training_the_whole(experiment, base, monkeypatch):
    probe = regimes.get("linear_probe")
    parted = run(probe, experiment, seed=1, base=base)
    monkeypatch.setattr(
        "kphotoz.regimes.run_regime.split", lambda model, head_only: None
    )
    whole = run(probe, experiment, seed=1, base=base)
    start = head(keras.saving.load_model(base, compile=False))
    pairs = list(zip(start, head(parted.model), head(whole.model), strict=True))
    assert any(np.abs(new - old).max() > 1e-4 for old, new, _ in pairs)
    for _, one, other in pairs:
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(parted.score, whole.score, rtol=1e-4)


def test_frozen_branches_beside_a_moving_one_are_features_too():
    inputs = keras.Input((3,))
    frozen = keras.layers.Dense(2, trainable=False)(inputs)
    other = keras.layers.Dense(4, trainable=False)(inputs)
    moving = keras.layers.Dense(2)(other)
    outputs = keras.layers.Dense(1)(keras.layers.Concatenate()([frozen, moving]))
    model = keras.Model(inputs, outputs)
    parts = split(model, head_only=True)
    assert parts.below.output_shape == (None, 6)
    assert not parts.below.trainable_variables
    moving = {id(v) for v in model.trainable_variables}
    assert {id(v) for v in parts.above.trainable_variables} == moving
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    found = keras.ops.convert_to_numpy(parts.above(parts.below(x)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_network_without_preprocessing_has_nothing_fixed():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    assert split(model) is None
    assert split(model, head_only=True) is None


def test_preprocessing_is_all_that_is_fixed_where_everything_moves(experiment, base):
    model = keras.saving.load_model(base, compile=False)
    parts = split(model)
    # Stretched 16 x 16 x 3 pixels, and 8 bins of each photometric column.
    columns = model.get_layer("photometry").output.shape[-1]
    assert parts.below.output_shape == (None, 16 * 16 * 3 + 8 * columns)
    assert not parts.below.weights
    images = experiment.target["test"].inputs()
    np.testing.assert_allclose(
        parts.above.predict(parts.below.predict(images, verbose=0), verbose=0),
        model.predict(images, verbose=0),
        rtol=1e-5,
    )


def test_features_are_computed_once_for_equal_parts(make_sample):
    inputs = keras.Input((16, 16, 3))
    flat = keras.layers.Flatten()(inputs)
    scaled = keras.layers.Dense(2, trainable=False, name="scaled")(flat)
    model = keras.Model(inputs, keras.layers.Dense(1)(scaled))
    kernel, bias = model.get_layer("scaled").get_weights()
    parts = split(model, head_only=True)
    sample, features = make_sample(6), FrozenFeatures()
    expected = sample.inputs().reshape(6, -1) @ kernel + bias
    some = features.of(sample.select(np.array([1, 4])), parts)
    np.testing.assert_allclose(some.inputs(), expected[[1, 4]], rtol=1e-4, atol=1e-5)
    assert some.info.input_shape == (2,)
    parts.below.predict_on_batch = None  # the next call would fail
    again = features.of(sample, parts)
    np.testing.assert_allclose(again.inputs(), expected, rtol=1e-4, atol=1e-5)
    model.get_layer("scaled").set_weights([2 * kernel, bias])
    changed = features.of(sample, split(model, head_only=True))
    np.testing.assert_allclose(
        changed.inputs() - bias, 2 * (expected - bias), rtol=1e-4, atol=1e-5
    )

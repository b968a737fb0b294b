import keras
import numpy as np
import pytest

from kphotoz import recipes, regimes
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.frozen import FrozenFeatures, split
from kphotoz.regimes.run import run

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
    monkeypatch.setattr("kphotoz.regimes.run.split", lambda model: None)
    whole = run(probe, experiment, seed=1, base=base)
    start = head(keras.saving.load_model(base, compile=False))
    pairs = list(zip(start, head(parted.model), head(whole.model), strict=True))
    assert any(np.abs(new - old).max() > 1e-4 for old, new, _ in pairs)
    for _, one, other in pairs:
        np.testing.assert_allclose(one, other, atol=2e-6, rtol=1e-5)
    np.testing.assert_allclose(parted.score, whole.score, rtol=1e-4)


def test_two_branches_between_frozen_and_moving_layers_are_not_split():
    inputs = keras.Input((3,))
    frozen = keras.layers.Dense(2, trainable=False)(inputs)
    other = keras.layers.Dense(2, trainable=False)(inputs)
    moving = keras.layers.Dense(2)(other)
    outputs = keras.layers.Dense(1)(keras.layers.Concatenate()([frozen, moving]))
    assert split(keras.Model(inputs, outputs)) is None


def test_features_of_one_base_are_computed_once(make_sample):
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    sample, features = make_sample(6), FrozenFeatures()
    some, all_of_it = sample.select(np.array([1, 4])), sample.inputs().reshape(6, -1)
    first = features.of(some, model, "base")
    np.testing.assert_array_equal(first.inputs(), all_of_it[[1, 4]])
    assert first.info.input_shape == (768,)
    model.predict = None  # the next call would fail
    again = features.of(sample, model, "base")
    np.testing.assert_array_equal(again.inputs(), all_of_it)
    with pytest.raises(TypeError):
        features.of(sample, model, "another base")

"""A small experiment and its base, for modules that need no other."""

import numpy as np
import pytest

from kphotoz import recipes
from kphotoz.regimes.experiment import Experiment

MODEL = {"name": "small_cnn", "filters": [4, 4], "radii": [1.5, 3.0, 6.0]}
MODEL |= {"photometry_units": [8], "head_units": [8], "image_units": 4}
TRAINING = {"epochs": 2, "batch_size": 16, "minimum_steps": 0}


@pytest.fixture(scope="module")
def experiment(make_sample):
    sizes = {"train": 48, "validation": 20, "calibration": 4, "test": 10}
    splits = {n: make_sample(s, i, tag=n) for i, (n, s) in enumerate(sizes.items())}
    recipe = recipes.load(overlay={"model": MODEL, "training": TRAINING})
    return Experiment(recipe, splits, splits)


@pytest.fixture(scope="module")
def base(experiment, tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "model.keras"
    model = experiment.fresh(experiment.target["train"], 0)
    random = np.random.default_rng(0)
    model.set_weights(
        [w + random.normal(0, 0.02, w.shape) for w in model.get_weights()]
    )
    model.save(path)
    return path

"""One saved model predicts the same under the other backend."""

import os
import subprocess
import sys

import keras
import numpy as np

from kphotoz import models

CODE = """
import sys, numpy as np
from kphotoz import models
images = np.load(sys.argv[1])
np.save(sys.argv[3], models.load(sys.argv[2]).predict(images, verbose=0))
"""


def test_a_saved_model_predicts_the_same_under_both_backends(tmp_path):
    random = np.random.default_rng(0)
    images = random.normal(0.2, 1, (12, 32, 32, 3)).astype("float32")
    model = models.build_photoz(
        {"name": "small_cnn", "filters": [4, 4, 4]},
        images,
        random.uniform(0.1, 1, 12),
        bands="gri",
        pixel_scale=0.2,
        seed=1,
    )
    # Weights that differ from their start, so that every branch takes part.
    weights = [w + random.normal(0, 0.05, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    files = [str(tmp_path / name) for name in ("x.npy", "model.keras", "y.npy")]
    np.save(files[0], images)
    model.save(files[1])
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    environment = os.environ | {"KERAS_BACKEND": other}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *files],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    here = model.predict(images, verbose=0)
    assert np.ptp(here) > 0.01
    np.testing.assert_allclose(np.load(files[2]), here, atol=1e-4)

"""Layers and adapters need Keras and one backend, and nothing else of the list."""

import subprocess
import sys

# What a project that only imports our layers need not have.
ABSENT = (
    "astropy apache_beam click galsim keras_hub matplotlib mlcroissant pyarrow pytest "
    "sklearn speclite tensorflow_datasets yaml"
)

CODE = f"""
import sys
for name in {ABSENT.split()!r}:
    sys.modules[name] = None
import keras, numpy as np
from kphotoz import adapters, layers, testing
inputs = keras.Input((5,))
base = keras.Model(inputs, keras.layers.Dense(4, name="a")(inputs))
model = adapters.apply(base, rank=1)
x = np.ones((2, 5), "float32")
assert np.array_equal(np.asarray(model(x)), np.asarray(base(x)))
layers.LoRAConv2D(4, 3, rank=1)(np.ones((1, 5, 6, 3), "float32"))
"""


def test_layers_and_adapters_run_with_keras_and_a_backend_only():
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]

"""What importing the layers costs beside Keras itself."""

import os
import statistics
import subprocess
import sys

import keras
import pytest

PROGRAM = """
import time, sys
import keras
start = time.perf_counter()
import kphotoz.layers
print(time.perf_counter() - start, "tensorflow" in sys.modules)
"""


def _run():
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, tensorflow = done.stdout.split()
    return float(seconds), tensorflow == "True"


@pytest.mark.large
def test_importing_the_layers_costs_a_tenth_of_a_second_at_most():
    found = [_run()[0] for _ in range(5)]
    assert statistics.median(found) <= 0.1, found


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="TensorFlow imports TensorFlow"
)
def test_the_layers_import_no_tensorflow_under_jax():
    assert not _run()[1]

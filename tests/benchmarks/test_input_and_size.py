"""The benchmarks of input and of growth run, and end in one line of JSON."""

import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.large


def last_line(*words):
    command = [sys.executable, FOLDER / words[0], *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_input_is_measured_beside_memory_and_two_rivals():
    found = last_line("input_pipeline.py", "--count=128", "--repeats=1")
    sides = {"survey", "memory", "from_generator", "PyDataset"}
    for measured in ("training", "input_alone"):
        rates = found[f"{measured}_examples_per_second"]
        assert rates.keys() == sides and min(rates.values()) > 0
    assert found["over_memory"]["memory"] == 1.0 and found["galaxies"] == 128


@pytest.mark.parametrize("work", ["train", "predict"])
def test_cost_of_a_size_is_measured_alone(work):
    found = last_line("cost_against_size.py", "--work", work, "128", "256")
    assert found["microseconds_per_galaxy"] > 0 and found["peak_mb"] > 100
    assert found["inputs_mb"] == (128 * 16 * 16 * 5 * 4 / 1e6 if work == "train" else 0)

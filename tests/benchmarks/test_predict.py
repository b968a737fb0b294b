"""The benchmark of prediction runs, and says what it compared."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "predict.py"

pytestmark = pytest.mark.large


def test_quick_run_ends_with_its_medians_and_ratios():
    command = [sys.executable, SCRIPT, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-1500:]
    found = json.loads(done.stdout.splitlines()[-1])
    ours = {f"kphotoz-keras{kind}" for kind in ("", "-file", "-survey")}
    assert {"keras", *ours} <= set(found["images_per_second"])
    assert found["ratios"]["kphotoz-keras-survey over kphotoz-keras"] > 0
    for side, (low, high) in found["spread"].items():
        assert 0 < low <= found["images_per_second"][side] <= high

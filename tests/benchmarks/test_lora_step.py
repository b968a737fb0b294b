"""The benchmark of a training step runs, and says what it compared."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "lora_step.py"

pytestmark = pytest.mark.large


def test_quick_run_ends_with_its_medians_and_ratios():
    command = [sys.executable, SCRIPT, "--quick", "--precisions", "float32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-1500:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["ratios"].keys() == {
        f"{name} float32 {what}"
        for name in ("resnet18", "vit")
        for what in (
            "kphotoz over enable_lora",
            "memory of kphotoz over enable_lora",
            "memory of kphotoz-folded over enable_lora",
        )
    }
    assert all(value > 0 for value in found["images_per_second"].values())

"""The benchmark of refits runs, agrees with its rival, and ends in one line of JSON."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "refit.py"


@pytest.mark.large
def test_refit_agrees_with_its_rival():
    command = [sys.executable, SCRIPT, "--quick", "--rows=1500", "--width=32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["seconds"].keys() == found["peak_gb"].keys()
    assert all(0 < seconds < 30 for seconds in found["seconds"].values())
    assert max(found["largest_difference"].values()) < 1e-9
    assert found["largest_coefficient"] > 1e-3

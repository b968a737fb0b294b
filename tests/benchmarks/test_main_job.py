"""The benchmark of the main job runs, and ends in one line of JSON."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "main_job.py"
SIDES = {"plain", "plain-equal", "kphotoz", "kphotoz-one"}


@pytest.mark.large
def test_the_main_job_is_timed_beside_a_plain_script():
    words = ["--repeats=1", "--source=200", "--target=120", "--epochs=1", "--seeds=1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    seconds = found["seconds"]
    assert seconds.keys() == found["nmad"].keys() == SIDES
    ratio = seconds["plain"] / seconds["kphotoz"]
    assert found["ratios"]["plain over kphotoz"] == pytest.approx(ratio, abs=0.01)
    # One epoch on 120 galaxies: whatever was learned, all sides judge the same objects.
    for scores in found["nmad"].values():
        assert scores.keys() == found["nmad"]["plain"].keys()
        assert all(0 < mean < 1 for mean, _ in scores.values())

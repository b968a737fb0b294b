"""The experiments that the documents tell of run, and their kernels are better."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "experiments"


def run(name, *options):
    """Returns what the last line of an experiment's quick run says."""
    command = [sys.executable, FOLDER / f"{name}.py", "--quick", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.large
@pytest.mark.parametrize("name", ["conjugate_kernel_1d", "conjugate_kernel_2d"])
def test_a_quick_run_ends_in_one_line_of_json_where_the_kernel_is_better(
    name, tmp_path
):
    drawn = importlib.util.find_spec("matplotlib") is not None
    found = run(name, "--seeds=1", *[f"--out={tmp_path}"] * drawn)
    if name.endswith("1d"):
        for activation in ("relu", "tanh"):
            for errors in (found[activation]["train"], found[activation]["test"]):
                best = errors["conjugate kernel"]["median"]
                assert best < errors["network"]["median"]
    else:
        kernel, network = found["conjugate kernel"], found["network"]
        for scores in (kernel, network):
            assert 0 < scores["right"]["median"] <= 1
        assert kernel["cross-entropy"]["median"] < network["cross-entropy"]["median"]
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.png"] * drawn


@pytest.mark.large
def test_a_shallower_survey_is_told_from_its_like_and_its_like_is_not(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    found = run("shift_power", "--permutations=99")
    for method in ("classifier", "MMD"):
        # 40 exact tests at 5 %: more than 8 reach it in 0.02 % of all cases.
        assert found[f"nothing, {method}"]["share"] <= 0.2
    assert found["1 mag shallower, classifier"]["share"] == 1.0


@pytest.mark.large
def test_correlations_of_shift_and_loss_are_of_every_measure(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    found = run("shift_and_loss")
    assert found["targets"] == 11 and found["networks"] == 1
    for measure in found["correlations"].values():
        assert all(-1 <= value <= 1 for value in measure.values())
    assert sum(sum(ways.values()) for ways in found["best"].values()) == 11

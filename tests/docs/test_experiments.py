"""The experiments that the documents tell of run, and their kernels are better."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "docs" / "experiments"


@pytest.mark.parametrize("name", ["conjugate_kernel_1d", "conjugate_kernel_2d"])
def test_a_quick_run_ends_in_one_line_of_json_where_the_kernel_is_better(
    name, tmp_path
):
    command = [sys.executable, FOLDER / f"{name}.py", "--quick", "--seeds=1"]
    drawn = importlib.util.find_spec("matplotlib") is not None
    command += [f"--out={tmp_path}"] if drawn else []
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
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

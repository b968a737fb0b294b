import ast
import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"


def test_script_that_writes_files_imports_nothing_of_ours():
    tree = ast.parse((FOLDER / "write_galaxies_ml.py").read_text())
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names == {"argparse", "collections", "h5py", "numpy", "pathlib"}


def test_script_writes_the_names_that_are_published(tmp_path):
    command = [sys.executable, FOLDER / "write_galaxies_ml.py", tmp_path, "--count=14"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run([*command, "--set=transfer_z"], check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "5x64x64_testing_with_morphology.hdf5",
        "5x64x64_training_with_morphology.hdf5",
        "5x64x64_validation_with_morphology.hdf5",
        "transferz_5x64x64_TESTING.h5",
        "transferz_5x64x64_TRAINING.h5",
        "transferz_5x64x64_VALIDATION.h5",
    ]


@pytest.mark.large
def test_benchmark_names_its_rival_and_ends_in_one_line_of_json(tmp_path):
    script = FOLDER / "build_survey.py"
    command = [sys.executable, script, "--count=400", "--repeats=1", "--folder"]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["galaxies"] == result["rows_built"] == 400
    assert "h5py sequential read" in result["rival"]
    assert result["build_seconds"] > 0 and result["rival_seconds"] > 0
    assert 0 < result["peak_gb"] < result["claimed"]["peak_gb"]
    assert list(tmp_path.iterdir()) == []

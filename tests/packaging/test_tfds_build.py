"""`tfds build` inside the survey's folder and by name; `tfds.load` after an import."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TFDS = pathlib.Path(sys.executable).with_name("tfds")
CONFIG = "photometric-n20"

pytestmark = pytest.mark.large


def run(command, folder, cwd):
    environment = {**os.environ, "TFDS_DATA_DIR": str(folder)}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return done.stdout


def test_tfds_build_works_in_the_folder_of_the_survey(tmp_path):
    command = [TFDS, "build", "--data_dir", tmp_path, f"--config={CONFIG}"]
    run(command, tmp_path, ROOT / "datasets" / "mock_hsc")
    assert (tmp_path / "mock_hsc" / CONFIG / "1.0.0" / "dataset_info.json").exists()


def test_tfds_build_works_by_name_and_tfds_load_reads_it(tmp_path):
    command = [TFDS, "build", f"mock_hsc/{CONFIG}", "--imports", "kphotoz_datasets"]
    run([*command, "--data_dir", tmp_path], tmp_path, tmp_path)
    code = (
        "import kphotoz_datasets, tensorflow_datasets as tfds; "
        f"found = tfds.load('mock_hsc/{CONFIG}', split='train'); print(len(found))"
    )
    assert int(run([sys.executable, "-c", code], tmp_path, tmp_path)) == 12

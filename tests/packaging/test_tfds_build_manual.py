"""`tfds build` of surveys whose files lie in a manual folder, and `tfds.load` after."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

DATASETS = pathlib.Path(__file__).parents[2] / "datasets"
TFDS = pathlib.Path(sys.executable).with_name("tfds")
# Rows in the dummy files; two galaxies are in both sets.
COUNTS = {"galaxies_ml": 12, "transfer_z": 12, "combined_z": 22}

pytestmark = pytest.mark.large


def run(command, cwd, **variables):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return done


@pytest.mark.parametrize("survey", COUNTS)
def test_tfds_build_works_in_the_folder_and_tfds_load_reads_it(survey, tmp_path):
    dummy = DATASETS / survey / "dummy_data"
    place = tmp_path / "downloads" / "manual"
    shutil.copytree(dummy, place if survey == "combined_z" else place / survey)
    command = [TFDS, "build", "--data_dir", tmp_path, "--config=images_64"]
    built = run(command, DATASETS / survey)
    assert "left out:" in built.stderr
    code = (
        "import kphotoz_datasets, tensorflow_datasets as tfds; "
        f"found = tfds.load('{survey}/images_64', data_dir={str(tmp_path)!r}); "
        "print(sum(len(split) for split in found.values()))"
    )
    loaded = run([sys.executable, "-c", code], tmp_path)
    assert int(loaded.stdout.split()[-1]) == COUNTS[survey]


def test_tfds_build_takes_a_manual_folder_by_name(tmp_path):
    command = [TFDS, "build", "galaxies_ml/images_127", "--imports", "kphotoz_datasets"]
    manual = DATASETS / "galaxies_ml" / "dummy_data"
    run([*command, "--data_dir", tmp_path, "--manual_dir", manual], tmp_path)
    folder = tmp_path / "galaxies_ml" / "images_127" / "1.0.0"
    assert (folder / "dataset_info.json").exists()

"""The published experiment on files of the published layout, unchanged but small."""

import importlib.util
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SIZES = (72, 24, 24)
SHARED = 12

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of files written by a script that knows nothing of our readers."""
    path = ROOT / "benchmarks" / "write_galaxies_ml.py"
    spec = importlib.util.spec_from_file_location("write_galaxies_ml", path)
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    folder = tmp_path_factory.mktemp("manual")
    for name in ("galaxies_ml", "transfer_z"):
        writer.write_set(folder, name, SIZES, shared=SHARED)
    return folder


def test_published_experiment_runs_on_files_of_its_layout(
    kphotoz, files, tmp_path, monkeypatch
):
    monkeypatch.setenv("KPHOTOZ_MANUAL_DIR", str(files))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    out = tmp_path / "run"
    small = ["training.epochs=1", "evaluation.draws=100", "search={}"]
    small += ["overrides.combined_paper.training.epochs=1"]
    kphotoz(
        *("compare", "lora_photoz_paper", "--profile=quick", "--seeds=1"),
        "--regimes=zero_shot,transfer_paper,lora_paper,combined_paper",
        *(f"--set={setting}" for setting in small),
        *("--out", out),
    )
    found = json.loads((out / "comparison.json").read_text())
    # Some of the shared galaxies fall to the selection of one of the two sets.
    dropped = int(
        next(n for n in found["notes"] if "in the target too" in n).split()[0]
    )
    assert 0 < dropped <= SHARED
    parameters = {c["regime"]: c["trainable_parameters"] for c in found["costs"]}
    assert parameters["lora_paper"] == 152_280
    assert parameters["transfer_paper"] == parameters["combined_paper"] == 11_577_025
    page = (out / "report.html").read_text()
    for published in ("0.0183", "0.0222", "0.0357", "0.0495"):
        assert published in page

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from kphotoz.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Returns the hash of every file of a run but its times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "cost.json"
    }


def test_base_adapter_and_prediction_follow_each_other(
    kphotoz, surveys, tiny, tmp_path
):
    base, lora = tmp_path / "base", tmp_path / "lora"
    common = [*surveys["data"], *surveys["source"], *tiny]
    kphotoz("fit", *common, "--out", base)
    assert (base / "model.keras").exists() and not (base / "checkpoints").exists()
    kphotoz("fit", *common, "--regime=lora", "--base", base, "--out", lora)
    assert not (lora / "model.keras").exists()
    shown = json.loads(
        kphotoz("adapter", "show", lora / "adapter.safetensors", "--json")
    )
    assert shown
    merged = tmp_path / "merged.keras"
    kphotoz(
        *("adapter", "merge", lora / "adapter.safetensors"),
        *("--base", base, "--out", merged),
    )
    reading = [f for f in surveys["data"][1:] if not f.startswith(("--ph", "--spl"))]
    outs = []
    for run in (lora, merged):
        out = tmp_path / f"{run.name}.csv"
        kphotoz("predict", run, surveys["paths"][0], "--out", out, *reading)
        outs.append([line.split(",") for line in out.read_text().splitlines()])
    column = outs[0][0].index("z_pred")
    for a, b in zip(outs[0][1:], outs[1][1:], strict=True):
        assert float(a[column]) == pytest.approx(float(b[column]), abs=1e-5)


def test_an_adapter_is_refused_by_another_base(kphotoz, surveys, tiny, tmp_path):
    common = [*surveys["data"], *surveys["source"], *tiny]
    for seed in (0, 1):
        kphotoz("fit", *common, "--out", tmp_path / f"base{seed}", "--seed", seed)
    lora = tmp_path / "lora"
    kphotoz(
        "fit", *common, "--regime=lora", "--base", tmp_path / "base0", "--out", lora
    )
    with pytest.raises(InputError, match="Wanted"):
        kphotoz(
            *("adapter", "merge", lora / "adapter.safetensors"),
            *("--base", tmp_path / "base1", "--out", tmp_path / "merged.keras"),
        )
    assert not (tmp_path / "merged.keras").exists()


def test_a_killed_fit_resumes_to_the_bytes_of_an_undisturbed_one(
    surveys, tiny, tmp_path
):
    code = (
        "from kphotoz.training import loop; loop._CHECKPOINT_SECONDS = 0.0; "
        "import sys; sys.argv = ['kphotoz', *sys.argv[1:]]; "
        "from kphotoz_cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "fit", "--regime=from_scratch"]
    command += [*surveys["data"], *tiny, "--set=training.epochs=12", "--seed=3"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def start(out, *more):
        return subprocess.Popen(
            [*command, "--out", str(out), *more],
            env=environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    whole = start(tmp_path / "whole")
    assert whole.wait(120) == 0
    killed = start(tmp_path / "killed")
    checkpoint = tmp_path / "killed" / "checkpoints" / "last.safetensors"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "model.keras").exists()
    resumed = start(tmp_path / "killed", "--resume")
    assert resumed.wait(120) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")

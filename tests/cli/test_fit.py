import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from kphotoz.errors import InputError
from kphotoz.training import checkpoint, loop
from kphotoz.training.run_folder import RunFolder
from kphotoz_cli.main import group, main


@pytest.fixture(scope="module", autouse=True)
def data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


@pytest.fixture(scope="module")
def runs(surveys, tiny, tmp_path_factory):
    """Run folders of a base and of its adapter."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["fit", *surveys["data"], *surveys["source"], *tiny]
    adapted = ["--regime=lora", "--base", folder / "base"]
    for name, more in (("base", []), ("lora", adapted)):
        arguments = [str(item) for item in (*common, *more, "--out", folder / name)]
        result = CliRunner().invoke(group, arguments)
        assert result.exit_code == 0, result.output
    return folder


def test_base_adapter_and_prediction_follow_each_other(
    kphotoz, surveys, runs, tmp_path
):
    assert (runs / "base" / "model.keras").exists()
    assert not (runs / "base" / "checkpoints").exists()
    assert not (runs / "lora" / "model.keras").exists()
    adapter = runs / "lora" / "adapter.safetensors"
    assert "head_redshift" in kphotoz("adapter", "show", adapter, "--json")
    merged = tmp_path / "merged.keras"
    kphotoz("adapter", "merge", adapter, "--base", runs / "base", "--out", merged)
    reading = [f for f in surveys["data"][1:] if not f.startswith(("--ph", "--spl"))]
    outs = []
    for run in (runs / "lora", merged):
        out = tmp_path / f"{run.name}.csv"
        kphotoz("predict", run, surveys["paths"][0], "--out", out, *reading)
        outs.append([line.split(",") for line in out.read_text().splitlines()])
    column = outs[0][0].index("z_pred")
    for a, b in zip(outs[0][1:], outs[1][1:], strict=True):
        assert float(a[column]) == pytest.approx(float(b[column]), abs=1e-5)


def test_an_adapter_is_refused_by_another_base(kphotoz, surveys, tiny, runs, tmp_path):
    common = [*surveys["data"], *surveys["source"], *tiny]
    kphotoz("fit", *common, "--out", tmp_path / "other", "--seed", 1)
    merged = tmp_path / "merged.keras"
    with pytest.raises(InputError, match="Wanted"):
        kphotoz(
            *("adapter", "merge", runs / "lora" / "adapter.safetensors"),
            *("--base", tmp_path / "other", "--out", merged),
        )
    assert not merged.exists()


def stop(words, monkeypatch):
    """Runs a command that SIGTERM reaches after its next checkpoint."""
    save = checkpoint.save

    def save_and_stop(*arguments):
        save(*arguments)
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(checkpoint, "save", save_and_stop)
        patch.setattr(sys, "argv", ["kphotoz", *words])
        try:
            main()
        finally:
            signal.signal(signal.SIGTERM, before)
    return ended.value.code


def kill(words, folder):
    """Kills a command after its next checkpoint; returns its status."""
    code = (
        "from kphotoz.training import loop; loop._CHECKPOINT_SECONDS = 0.0; "
        "import sys; sys.argv = ['kphotoz', *sys.argv[1:]]; "
        "from kphotoz_cli.main import main; main()"
    )
    last = folder / "checkpoints" / "last.safetensors"
    before = last.stat().st_mtime_ns
    run = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while last.stat().st_mtime_ns == before and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(InputError, match="no other run writes to"):
        with RunFolder(folder).alone():
            pass
    run.kill()
    return run.wait()


def test_a_stopped_and_killed_fit_resumes_to_the_bytes_of_an_undisturbed_one(
    kphotoz, contents, surveys, tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    arguments = ["fit", "--regime=from_scratch", *surveys["data"], *tiny]
    arguments += ["--set=training.epochs=8", "--seed=3"]
    killed = tmp_path / "killed"
    words = [*arguments, "--out", str(killed)]
    assert stop(words, monkeypatch) == 128 + signal.SIGTERM
    told = capsys.readouterr().err.splitlines()[-1]
    assert "repeat the command, with --resume" in told
    assert not list(killed.rglob("*partial*"))
    assert kill([*words, "--resume"], killed) == -signal.SIGKILL
    assert not (killed / "model.keras").exists()
    kphotoz(*words, "--resume")
    kphotoz(*arguments, "--out", tmp_path / "whole")
    assert contents(killed) == contents(tmp_path / "whole")

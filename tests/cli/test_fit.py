import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from kphotoz import metrics
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


def test_what_a_kill_after_the_metrics_leaves_goes_with_resume(
    kphotoz, surveys, tiny, runs, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(runs / "base", run)
    wanted = {path.name: path.read_bytes() for path in run.iterdir()}
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.safetensors").write_bytes(b"the last epoch")
    words = [*surveys["data"], *surveys["source"], *tiny]
    kphotoz("fit", *words, "--out", run, "--resume")
    assert not (run / "checkpoints").exists()
    assert {path.name: path.read_bytes() for path in run.iterdir()} == wanted


def test_what_a_fit_wrote_is_evaluated_as_the_quickstart_shows(kphotoz, runs):
    table = runs / "lora" / "predictions.parquet"
    with pytest.raises(InputError, match="one prediction an object.*of sample"):
        kphotoz("evaluate", table)
    words = ("--where", "sample=target", "--json", "--draws", 10, "--metrics", "mae")
    (row,) = json.loads(kphotoz("evaluate", table, *words))["rows"]
    columns = pq.read_table(table).to_pydict()
    chosen = np.array(columns["sample"]) == "target"
    z, pred = (np.array(columns[name])[chosen] for name in ("z_label", "z_pred"))
    assert row["n"] == chosen.sum() < chosen.size
    assert row["value"] == pytest.approx(np.abs(pred - z).mean(), abs=1e-6)


def test_exposures_of_one_source_are_one_object_of_the_metrics(
    kphotoz, surveys, tiny, tmp_path
):
    with np.load(surveys["paths"][0]) as file:
        columns = {key: np.repeat(file[key], 3, axis=0) for key in file}
    columns["source"] = columns["name"]
    columns["name"] = np.array([f"e{row}" for row in range(len(columns["source"]))])
    np.savez(tmp_path / "exposures.npz", **columns)
    reading = [*surveys["data"][1:], "--key=group=source", "--skip-bad"]
    words = [f"--data={tmp_path / 'exposures.npz'}", *reading, *tiny]
    kphotoz("fit", "--regime=from_scratch", *words, "--out", tmp_path / "run")
    table = pq.read_table(tmp_path / "run" / "predictions.parquet").to_pydict()
    source = dict(zip(columns["name"], columns["source"], strict=True))
    assert table["group"] == [f"cutouts/{source[name]}" for name in table["id"]]
    _, once = np.unique(table["group"], return_index=True)
    assert len(table["group"]) == 3 * len(once)
    pred, z = (np.array(table[name])[once] for name in ("z_pred", "z_label"))
    (wanted,) = metrics.summary(pred, z, names=["nmad"], draws=100)
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    (row,) = (row for row in found if row["metric"] == "nmad")
    assert row["error"] == pytest.approx(wanted.error, rel=1e-3)
    assert row["value"] == pytest.approx(wanted.value, rel=1e-3)


def test_a_window_that_holds_nobody_does_not_lose_a_trained_model(
    kphotoz, surveys, tiny, tmp_path
):
    windows = [{"on": "z_true", "low": low, "high": low + 1.5} for low in (0.0, 2.5)]
    words = [*surveys["data"], *tiny, f"--set=evaluation.windows={json.dumps(windows)}"]
    words += ["--out", tmp_path / "run"]
    printed = kphotoz("fit", "--regime=from_scratch", *words)
    assert "no usable object in the window" in printed
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    notes = {row["window"]: (row["value"] is None, row["note"]) for row in found}
    assert notes["2.5 < z_true ≤ 4"] == (True, "no usable object in the window")
    assert notes["0 < z_true ≤ 1.5"][0] is False
    again = kphotoz("fit", "--regime=from_scratch", *words, "--resume")
    assert "no usable object in the window" in again


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


@pytest.mark.parametrize("regime", ["lora", "conjugate_kernel"])
def test_a_base_of_other_inputs_is_refused(kphotoz, surveys, tiny, tmp_path, regime):
    colours = keras.Sequential([keras.Input((5, 2)), keras.layers.Flatten()])
    colours.add(keras.layers.Dense(1))
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    colours.save(base / "model.keras")
    with pytest.raises(InputError, match="Wanted: photometry.*Received: images"):
        kphotoz(
            *("fit", *surveys["data"], *surveys["source"], *tiny),
            *(f"--regime={regime}", "--base", base, "--out", out),
        )
    assert not (out / "metrics.json").exists()


def test_a_given_base_needs_no_source(kphotoz, surveys, tiny, runs, tmp_path):
    words = ["fit", "--regime=lora", *surveys["data"], *tiny, "--base", runs / "base"]
    kphotoz(*words, "--out", tmp_path / "run")
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert {row["sample"] for row in found} <= {"target", "deployment"}
    words[1] = "--regime=combined"
    with pytest.raises(InputError, match="Wanted: a source survey"):
        kphotoz(*words, "--out", tmp_path / "union")


def test_a_base_of_two_outputs_is_refused(kphotoz, surveys, tiny, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    layers = [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential(layers).save(base / "model.keras")
    words = ["--regime=full", "--base", base, "--out", tmp_path / "out"]
    with pytest.raises(InputError, match="one redshift per object.*None, 2"):
        kphotoz("fit", *surveys["data"], *tiny, *words)


def test_a_fraction_that_is_no_number_is_refused(usage):
    assert "wanted a number above 0" in usage("fit", "--fraction", "nan")


ON_TWO = """
import os, signal, sys, threading, time
import keras
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, two)
from kphotoz.training import checkpoint, loop
from kphotoz_cli.main import main
loop._CHECKPOINT_SECONDS = 0.0
save = checkpoint.save
def save_and_die(*arguments):
    save(*arguments)
    os._exit(9)
if sys.argv[1] == "die":
    checkpoint.save = save_and_die
def stop(out):  # as a batch system tells every process
    while not os.path.exists(out + "/checkpoints/last.safetensors"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
if sys.argv[1] == "stop":
    out = sys.argv[sys.argv.index("--out") + 1]
    threading.Thread(target=stop, args=(out,), daemon=True).start()
sys.argv[:2] = ["kphotoz"]
main()
"""


def fit_on_two(how, words):
    """Runs `fit` on two devices, of two processes on JAX; returns what they told."""
    jobs = [["--devices=2"]]
    if keras.backend.backend() == "jax":
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        common = ["--processes=2", f"--coordinator=127.0.0.1:{port}"]
        jobs = [[*common, f"--process={i}"] for i in range(2)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    code = [sys.executable, "-c", ON_TWO, how]
    running = [subprocess.Popen([*code, *words, *job], **pipes) for job in jobs]
    told = [one.communicate(timeout=240)[0] for one in running]
    return told, [one.returncode for one in running]


@pytest.mark.large
def test_an_adapter_killed_on_two_devices_goes_on_and_is_that_of_one(
    kphotoz, surveys, tiny, tmp_path
):
    steady = ["image_dropout=0", "photometry_dropout=0", "quantile_dropout=0"]
    steady = [f"--set=model.{one}" for one in [*steady, "augment=false"]]
    common = ["fit", *surveys["data"], *surveys["source"], *tiny, *steady]
    common += ["--set=training.batch_size=8", "--set=model.batch_norm=true"]
    kphotoz(*common, "--out", tmp_path / "base")
    words = [*common, "--set=training.epochs=3", "--regime=lora"]
    words += ["--base", str(tmp_path / "base")]
    kphotoz(*words, "--out", tmp_path / "one")
    words += ["--out", str(tmp_path / "two")]
    told, codes = fit_on_two("die", words)
    assert codes[0] == 9, told[0]
    told, codes = fit_on_two("live", words)
    assert set(codes) == {1}, told
    assert all("Add --resume" in text for text in told)
    told, codes = fit_on_two("live", [*words, "--resume"])
    assert set(codes) == {0}, told
    assert "epoch 1/3" not in told[0] and "epoch 2/3" in told[0]
    assert "epoch" not in "".join(told[1:]) and "Run:" not in "".join(told[1:])
    one, two = (
        np.loadtxt(tmp_path / name / "history.csv", delimiter=",", skiprows=1)
        for name in ("one", "two")
    )
    np.testing.assert_allclose(two, one, rtol=1e-3)
    one, two = (
        load_file(tmp_path / name / "adapter.safetensors") for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name, factor in one.items():
        np.testing.assert_allclose(two[name], factor, atol=1e-3, err_msg=name)


@pytest.mark.large
def test_a_fit_on_two_devices_ends_by_sigterm(kphotoz, surveys, tiny, tmp_path):
    words = ["fit", "--regime=from_scratch", *surveys["data"], *tiny]
    words += ["--set=training.epochs=2000", "--set=training.batch_size=8"]
    told, codes = fit_on_two("stop", [*words, "--out", str(tmp_path / "two")])
    assert set(codes) == {128 + signal.SIGTERM}, told
    assert all("Stopped by SIGTERM" in text for text in told)


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

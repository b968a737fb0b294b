"""Twenty kills at random moments: what is resumed ends in the bytes of the whole."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

KILLS = 20
PROGRAM = """
from kphotoz.training import loop
loop._CHECKPOINT_SECONDS = 0.0
import sys
sys.argv = ["kphotoz", *sys.argv[1:]]
from kphotoz_cli.main import main
main()
"""


@pytest.fixture(scope="module", autouse=True)
def data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


def start(arguments, out, *more):
    command = [sys.executable, "-c", PROGRAM, *arguments, "--out", out, *more]
    return subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(path, run) -> None:
    """Waits until the work has begun, which the lock beside it shows."""
    while not path.exists() and run.poll() is None:
        time.sleep(0.005)


def check_kills(arguments, folder, lock, final, contents):
    """Kills runs at random moments and compares each that ends with the whole one.

    Args:
        arguments: list. The command without `--out`.
        folder: path. Where outputs go.
        lock: function from the output's path to the lock that it holds at work.
        final: function from the output's path to the file that is written last.
        contents: function from the output's path to what must be equal.
    """
    rng = np.random.default_rng(0)
    whole = folder / "whole.parquet"
    run = start(arguments, whole)
    wait_for(lock(whole), run)
    began = time.monotonic()
    assert run.wait(300) == 0
    seconds = time.monotonic() - began
    kills = ended = 0
    while kills < KILLS or not ended:
        out, resume = folder / f"killed{ended}.parquet", []
        while True:
            lock(out).unlink(missing_ok=True)
            run = start(arguments, out, *resume)
            wait_for(lock(out), run)
            # Past the last kill the run may end, else none would at some speeds.
            allowed = np.inf if kills >= KILLS else rng.uniform(0, 1.2 * seconds)
            try:
                assert run.wait(min(allowed, 300)) == 0
                break
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                kills += 1
                if final(out).exists():
                    assert final(out).read_bytes() == final(whole).read_bytes()
                resume = ["--resume"]
        assert contents(out) == contents(whole)
        assert not list(folder.rglob("*.partial*"))
        ended += 1


@pytest.mark.large
def test_twenty_kills_of_fit_change_no_bit(contents, surveys, tiny, tmp_path):
    arguments = ["fit", "--regime=from_scratch", *surveys["data"], *tiny]
    check_kills(
        [*arguments, "--set=training.epochs=20"],
        tmp_path,
        lock=lambda out: out / ".lock",
        final=lambda out: out / "metrics.json",
        contents=contents,
    )


@pytest.mark.large
def test_twenty_kills_of_predict_change_no_bit(
    kphotoz, surveys, tiny, make_sample, tmp_path
):
    run = tmp_path / "run"
    kphotoz("fit", "--regime=from_scratch", *surveys["data"], *tiny, "--out", run)
    sample = make_sample(3000, 7, tag="many")
    path = tmp_path / "many.npz"
    ids = np.asarray(sample.table["id"], str)
    np.savez(path, stamps=sample.inputs(), name=ids, zspec=sample.table["redshift"])
    reading = [f for f in surveys["data"][1:] if not f.startswith(("--ph", "--spl"))]
    check_kills(
        ["predict", run, path, *reading, "--batch-size=2"],
        tmp_path,
        lock=lambda out: out.with_name(f".{out.name}.lock"),
        final=lambda out: out,
        contents=lambda out: {out.name[-8:]: out.read_bytes()},
    )

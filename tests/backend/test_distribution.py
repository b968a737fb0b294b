"""Training on several devices and in several processes equals that on one device.

Two devices are made of one processor; no GPU is needed.
"""

import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from kphotoz.backend import distribution
from kphotoz.errors import InputError

WORKER = pathlib.Path(__file__).with_name("distributed_worker.py")
ON_JAX = keras.backend.backend() == "jax"
TWO = "--xla_force_host_platform_device_count=2"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_all(folder, jobs, flags=""):
    """Runs the worker with each list of words at once; returns what they did."""
    environment = {**os.environ, "XLA_FLAGS": flags, "TF_CPP_MIN_LOG_LEVEL": "3"}
    running = [
        subprocess.Popen(
            [sys.executable, WORKER, folder, *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in jobs
    ]
    try:
        for one in running:
            told = one.communicate(timeout=240)[0]
            assert one.returncode == 0, told[-3000:]
    finally:
        for one in running:
            one.kill()
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(len(jobs))]


@pytest.fixture(scope="module")
def alone():
    """What the same training does on one device, in this process."""
    spec = importlib.util.spec_from_file_location("distributed_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    return worker.train()


def check_equal(found, alone):
    # Sums in another order: float32 rounds them by some 1e-7 a step.
    for name in ("losses", "scores", "predictions", "moving_mean", "moving_variance"):
        np.testing.assert_allclose(found[name], alone[name], rtol=2e-4, err_msg=name)
    # Batches of 8 are halved. The last one, of 7, is whole on both.
    shares = {(4, 2), (7, 2)} if ON_JAX else {(4, 0), (4, 1), (7, 0), (7, 1)}
    assert {tuple(x) for x in found["seen"]} >= shares
    assert not found["synchronized"]  # as it is saved


def test_two_devices_train_as_one(alone, tmp_path):
    found = run_all(tmp_path, [["2"]], TWO)
    check_equal(found[0], alone)
    assert found[0]["processes"] == [0, 1]


@pytest.mark.skipif(not ON_JAX, reason="several processes are JAX's")
def test_two_processes_train_as_one(alone, tmp_path):
    coordinator = f"127.0.0.1:{free_port()}"
    jobs = [["1", "2", str(i), coordinator] for i in range(2)]
    for number, found in enumerate(run_all(tmp_path, jobs)):
        check_equal(found, alone)
        assert found["processes"] == [number, 2]
        assert found["told"] == "from 0"


@pytest.mark.parametrize("count", ["0", "99", "-1", "two"])
def test_devices_that_are_not_there_are_refused(count):
    with pytest.raises(InputError, match=f"Wanted: --devices .* Received: {count}"):
        with distribution.distribute(count):
            pass


def test_all_devices_of_a_machine_with_one_change_nothing():
    if len(keras.distribution.list_devices()) > 1:
        pytest.skip("this machine has several")
    with distribution.distribute("all"):
        assert distribution.replicas() == 1
        assert keras.distribution.distribution() is None


def test_a_batch_that_the_devices_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(distribution, "replicas", lambda: 3)
    distribution.check_batch(66)
    with pytest.raises(InputError, match="size=64. Add --set training.batch_size=66"):
        distribution.check_batch(64)


@pytest.mark.skipif(ON_JAX, reason="JAX can")
def test_tensorflow_refuses_several_processes():
    with pytest.raises(InputError, match="Add --backend jax"):
        with distribution.distribute("1", types.SimpleNamespace(processes=2)):
            pass

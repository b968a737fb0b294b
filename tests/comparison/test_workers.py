import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from kphotoz import backend
from kphotoz.backend import devices
from kphotoz.comparison import workers
from kphotoz.comparison.plan import Job
from kphotoz.comparison.run_jobs import count_before
from kphotoz.errors import InputError
from kphotoz.training.run_folder import RunFolder

BASE, LORA, OTHER = (Job(name, 0, 1.0) for name in ("base", "lora", "other"))


def run(work, arguments, planned=(LORA, BASE, OTHER), count=2):
    return dict(
        workers.run_apart(
            planned,
            lambda job: {BASE} if job == LORA else set(),
            work,
            lambda job: arguments,
            count,
        )
    )


def test_a_job_starts_when_what_it_needs_has_ended():
    # Functions of other modules: a new process must find them by name.
    ended = run(time.monotonic, ())
    assert set(ended) == {BASE, LORA, OTHER}
    assert ended[LORA] > ended[BASE]


def test_processes_see_the_variables_of_the_one_that_asks(monkeypatch):
    backend.prepare_workers()  # before the variable is there
    monkeypatch.setenv("KPHOTOZ_TOLD", "late")
    with workers.processes(1) as pool:
        assert pool.submit(os.getenv, "KPHOTOZ_TOLD").result() == "late"


@pytest.mark.large
def test_an_error_of_a_job_comes_through_and_ends_the_others():
    start = time.monotonic()
    with pytest.raises(ValueError, match="invalid literal"):
        run(int, ("many",))
    assert time.monotonic() - start < 60
    assert not multiprocessing.active_children()


@pytest.mark.large
def test_a_killed_process_is_told_with_what_to_do():
    with pytest.raises(InputError, match="killed.*--jobs 1"):
        run(os._exit, (1,))


@pytest.mark.large
def test_processes_end_with_their_killed_parent():
    code = (
        "import time\n"
        "from kphotoz.comparison import workers\n"
        "from kphotoz.comparison.plan import Job\n"
        "if __name__ == '__main__':\n"
        "    jobs = [Job(name, 0, 1.0) for name in 'ab']\n"
        "    for job, _ in workers.run_apart(\n"
        "        jobs, lambda job: set(), time.sleep, lambda job: (600,), 2\n"
        "    ):\n"
        "        pass\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    time.sleep(30)
    children = _children(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(5)
    assert len(children) >= 2
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(text) for text in file.read().split()]


@pytest.mark.parametrize(
    ("memory", "threads", "planned", "count"),
    [
        (16e9, 8, 40, 4),  # never more than four
        (16e9, 2, 40, 2),  # one a core
        (16e9, 8, 8, 2),  # a process must have some jobs
        (16e9, 2, 7, 2),  # a base and six regimes
        (3e9, 8, 40, 1),  # room for one
        (16e9, 8, 1, 1),
    ],
)
def test_jobs_at_once_follow_the_machine(monkeypatch, memory, threads, planned, count):
    monkeypatch.setattr(workers.backend, "free_memory", lambda: memory)
    monkeypatch.setattr(workers.backend, "threads", lambda: threads)
    assert workers.choose_count(int(1e8), planned) == count


@pytest.mark.parametrize(
    ("gpus", "planned", "count"), [(1, 40, 1), (8, 40, 8), (8, 7, 2), (2, 1, 1)]
)
def test_every_gpu_runs_one_job_at_a_time(monkeypatch, gpus, planned, count):
    monkeypatch.setattr(workers.backend, "accelerators", lambda: ["gpu:0"] * gpus)
    monkeypatch.setattr(workers.backend, "free_memory", lambda: 64e9)
    assert workers.choose_count(0, planned) == count


def test_gpus_are_dealt_in_turn(monkeypatch):
    monkeypatch.setattr(devices, "accelerators", lambda: ["gpu:0", "gpu:1"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    hands = backend.deal_gpus(3, backend.worker_context())
    assert [hands.get() for _ in range(3)] == ["3", "5", "3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    hands = backend.deal_gpus(2, backend.worker_context())
    assert [hands.get() for _ in range(2)] == ["0", "1"]
    monkeypatch.setattr(devices, "accelerators", lambda: ["gpu:0"])
    assert backend.deal_gpus(2, backend.worker_context()) is None


def test_a_process_sees_the_gpu_that_it_was_dealt(monkeypatch):
    monkeypatch.setattr(devices, "accelerators", lambda: ["gpu:0", "gpu:1"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with workers.processes(1) as pool:
        assert pool.submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "3"


@pytest.mark.parametrize(
    ("memory", "gpus", "fit"),
    [(16e9, 0, True), (7e9, 0, True), (3e9, 0, False), (16e9, 1, False)],
)
def test_jobs_of_another_machine_must_fit(monkeypatch, memory, gpus, fit):
    monkeypatch.setattr(workers.backend, "free_memory", lambda: memory)
    monkeypatch.setattr(workers.backend, "accelerators", lambda: ["gpu:0"] * gpus)
    assert workers.fits(3, int(1e8)) is fit and workers.fits(1, int(1e8))


@pytest.mark.parametrize(
    ("noted", "wanted"),
    [({"jobs_at_once": 3}, 3), ({}, None), ({"jobs_at_once": "3"}, None), (None, None)],
)
def test_a_resumed_comparison_runs_as_many_jobs_at_once_as_before(
    tmp_path, noted, wanted
):
    if noted is not None:
        (tmp_path / "environment.json").write_text(json.dumps(noted))
    assert count_before(RunFolder(tmp_path)) == wanted

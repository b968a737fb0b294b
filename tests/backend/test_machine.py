"""Limits of containers and batch systems, as the files of Linux tell them."""

import pathlib
import sys

import pytest

from kphotoz.backend import devices, machine


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("max 100000", 8)])
def test_a_containers_quota_bounds_the_threads(monkeypatch, quota, cores):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: quota)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    assert machine.cores() == devices.threads() == cores
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    assert devices.threads() == 3


@pytest.mark.parametrize(("quota", "cores"), [("200000", 2), ("-1", 8)])
def test_quotas_of_the_older_groups_count_too(monkeypatch, quota, cores):
    top = "/sys/fs/cgroup/cpu/docker/7"
    files = {"/proc/self/cgroup": "3:cpu,cpuacct:/docker/7\n"}
    files |= {f"{top}/cpu.cfs_quota_us": quota, f"{top}/cpu.cfs_period_us": "100000\n"}
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8))
    monkeypatch.setattr(machine, "_text", lambda path: files.get(str(path), ""))
    assert machine.cores() == cores


MACHINE = "MemTotal:  24000000 kB\nMemFree:  1000 kB\nMemAvailable:  16000000 kB\n"
GIB = 2**30


def container(limit, used, read, top="/sys/fs/cgroup"):
    return {
        f"{top}/memory.max": f"{limit}\n",
        f"{top}/memory.current": f"{used}\n",
        f"{top}/memory.stat": f"anon 5\nfile 9\ninactive_file {read}\n",
    }


# A batch job on a node without a limit of its own, in either version of the groups.
JOB = {
    "/proc/self/cgroup": "0::/slurm/job_7/step_0\n",
    **container(4 * GIB, GIB, 0, "/sys/fs/cgroup/slurm/job_7"),
    **container("max", GIB, 0, "/sys/fs/cgroup/slurm/job_7/step_0"),
}
FIRST = "/sys/fs/cgroup/memory/slurm/job_7"
OLD_JOB = {
    "/proc/self/cgroup": "5:cpuset:/\n4:cpu,memory:/slurm/job_7\n0::/\n",
    f"{FIRST}/memory.limit_in_bytes": f"{4 * GIB}\n",
    f"{FIRST}/memory.usage_in_bytes": f"{3 * GIB}\n",
    f"{FIRST}/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB}\n",
}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 16_384_000_000),
        (container(4 * GIB, 3 * GIB, 0), GIB),
        (container(4 * GIB, 4 * GIB, 2 * GIB), 2 * GIB),  # read files make room
        (container(4 * GIB, 5 * GIB, 0), 0),
        (container(64 * GIB, 0, 0), 16_384_000_000),
        (container("max", 3 * GIB, 0), 16_384_000_000),
        (JOB, 3 * GIB),
        (OLD_JOB, 2 * GIB),
    ],
)
def test_free_memory_is_that_of_the_container(monkeypatch, files, free):
    files = {"/proc/meminfo": MACHINE, **files}

    def read_text(path):
        if str(path) not in files:
            raise FileNotFoundError(path)
        return files[str(path)]

    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert machine.free_memory() == free


def test_free_memory_without_proc_is_the_machines(monkeypatch):
    def read_text(path):
        raise FileNotFoundError(path)

    known = {"SC_PAGE_SIZE": 16384, "SC_PHYS_PAGES": 2**20}  # of a Mac: no AVPHYS
    monkeypatch.setattr(machine.os, "sysconf", known.__getitem__)
    monkeypatch.setattr(pathlib.Path, "read_text", read_text)
    assert machine.free_memory() == 16 * GIB


@pytest.mark.skipif(sys.platform != "linux", reason="the machine's memory elsewhere")
def test_free_memory_is_what_the_system_tells():
    psutil = pytest.importorskip("psutil")
    found, told = machine.free_memory(), psutil.virtual_memory()
    assert 0 <= found <= 1.05 * told.available

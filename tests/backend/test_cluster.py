"""Who the processes of a job are, and how they meet; no backend is needed."""

import contextlib
import socket
import struct
import time
from concurrent import futures

import pytest

from kphotoz.backend.cluster import Cluster, find_cluster
from kphotoz.errors import InputError


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_processes_meet_in_any_order_and_leave_the_port_free(address, order):
    with futures.ThreadPoolExecutor(3) as pool:
        met = [pool.submit(Cluster(3, i, address).meet, 20) for i in order]
        for one in met:
            one.result()
    socket.create_server(("127.0.0.1", int(address.partition(":")[2]))).close()


def test_an_unreachable_first_process_is_told_in_time(address):
    with pytest.raises(InputError, match=f"process 0 at {address}.* after 0.3 s"):
        Cluster(2, 1, address).meet(0.3)


def test_processes_that_do_not_come_are_counted(address):
    with futures.ThreadPoolExecutor(1) as pool:
        other = pool.submit(Cluster(3, 2, address).meet, 2)
        with pytest.raises(InputError, match="Wanted: 3 processes.* Received: 2 after"):
            Cluster(3, 0, address).meet(1)
        with pytest.raises(InputError, match="process 0"):
            other.result()


def leave(visitor):
    visitor.close()


def reset(visitor):
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()


def stay_silent(visitor):
    """Keeps the connection open."""


def say(words):
    return lambda visitor: visitor.sendall(words)


@pytest.mark.parametrize(
    "act",
    [leave, reset, stay_silent]
    + [say(b"GET / HTTP/1.1\r\n"), say(b"\xff" * 16), say(b"0"), say(b"2"), say(b"-1")],
)
def test_who_else_finds_the_port_is_no_process(address, act):
    host, _, port = address.partition(":")
    with futures.ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        first = pool.submit(Cluster(2, 0, address).meet, 6)
        while True:
            try:
                visitor = socket.create_connection((host, int(port)))
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        act(stack.enter_context(visitor))
        with pytest.raises(futures.TimeoutError):
            first.result(0.3)
        Cluster(2, 1, address).meet(5)
        first.result()


def test_a_port_in_use_is_refused(address):
    with socket.create_server(("", int(address.partition(":")[2]))):
        with pytest.raises(InputError, match="Wanted: a free port"):
            Cluster(2, 0, address).meet(1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("two", 0, "host:1"), "--processes N"),
        (("0", 0, "host:1"), "--processes N"),
        (("2", None, "host:1"), "--process I and --coordinator"),
        (("2", 0, None), "--process I and --coordinator"),
        (("2", 2, "host:1"), "--process from 0 to 1"),
        (("2", 0, "host"), "HOST:PORT"),
        (("2", 0, "host:99999"), "HOST:PORT"),
        (("slurm", None, None), "srun"),
    ],
)
def test_wrong_words_are_refused(monkeypatch, words, told):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(InputError, match=f"Wanted: .*{told}"):
        find_cluster(*words)


def test_one_process_is_none_and_keras_list_of_addresses_names_the_first():
    assert find_cluster(None, None, None) is None
    assert find_cluster("1", 0, "host:1") is None
    found = find_cluster("2", 1, "first:7000,second:7001")
    assert found == Cluster(2, 1, "first:7000")


@pytest.mark.parametrize(
    "nodes", ["node7", "node7,node9", "node[07-12,20],x", "gpu-a[3,5]", "c1-[001-016]"]
)
def test_slurm_is_read_as_jax_reads_it(monkeypatch, nodes):
    cluster = pytest.importorskip("jax._src.clusters.slurm_cluster").SlurmCluster
    facts = {"JOB_ID": "9876543", "NTASKS": "4", "PROCID": "2", "LOCALID": "0"}
    for name, value in {**facts, "STEP_NODELIST": nodes}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    wanted = Cluster(
        cluster.get_process_count(),
        cluster.get_process_id(),
        cluster.get_coordinator_address(None, None),
    )
    assert find_cluster("slurm", None, None) == wanted
    assert find_cluster("slurm", None, "other:1").coordinator == "other:1"
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert find_cluster("slurm", None, None) is None

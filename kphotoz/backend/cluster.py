"""Processes that train one model together: who they are, and how they meet.

They find each other at one address, that of the first process. Nothing there asks for
a password: it must be reachable from the machines of the job only.
"""

import contextlib
import dataclasses
import os
import re
import socket
import time

from kphotoz.errors import InputError

__all__ = ["Cluster", "find_cluster"]

_WAIT = 300.0  # seconds that processes wait for each other, as in JAX
_GREETING = 1.0  # seconds in which a visitor must say who it is; our choice
_PORTS = 61440, 4096  # first port and number of ports, by the job's number, as in JAX
_SLURM = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_STEP_NODELIST")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """One of the processes of a job.

    Args:
        processes: int >= 1. How many there are.
        process: int, 0 to processes - 1. Which one this is.
        coordinator: str, HOST:PORT. Where the first process listens.
    """

    processes: int
    process: int
    coordinator: str

    def __post_init__(self) -> None:
        if not 0 <= self.process < self.processes:
            raise InputError(
                f"Wanted: a --process from 0 to {self.processes - 1}, for --processes "
                f"{self.processes}. Received: {self.process}. Number them from 0."
            )
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError(
                "Wanted: --coordinator HOST:PORT, of process 0. Received: "
                f"{self.coordinator!r}. Give a free port of that machine."
            )

    def meet(self, wait: float = _WAIT) -> None:
        """Returns once all processes are there.

        JAX itself ends a process that waited in vain by an abort and a core dump.

        Args:
            wait: float > 0. Seconds. [default: 300]

        Raises:
            InputError: the first process cannot be reached, or some did not come.
        """
        host, _, port = self.coordinator.rpartition(":")
        deadline = time.monotonic() + wait
        if self.process:
            self._visit((host.strip("[]"), int(port)), deadline, wait)
        else:
            self._receive(int(port), deadline, wait)

    def _receive(self, port: int, deadline: float, wait: float) -> None:
        try:
            server = socket.create_server(("", port), backlog=self.processes)
        except OSError as error:
            raise InputError(
                f"Wanted: a free port for --coordinator. Received: {port}, "
                f"{error.strerror}. Choose another one."
            ) from error
        there: dict[int, socket.socket] = {}
        with contextlib.ExitStack() as stack:
            stack.enter_context(server)
            while len(there) < self.processes - 1:
                if (left := deadline - time.monotonic()) <= 0:
                    raise InputError(
                        f"Wanted: {self.processes} processes at {self.coordinator}. "
                        f"Received: {1 + len(there)} after {wait:g} s. Start the "
                        "others at the same time, with this address."
                    )
                server.settimeout(left)
                with contextlib.suppress(OSError):  # in vain, or it has left already
                    visitor = stack.enter_context(server.accept()[0])
                    if number := self._number(visitor, left):
                        there[number] = visitor
            for visitor in there.values():
                with contextlib.suppress(OSError):  # it has left: JAX will miss it
                    visitor.sendall(b"go")

    def _number(self, visitor: socket.socket, left: float) -> int | None:
        """Returns which process a visitor is; turns away whoever else finds the port.

        A process that was too slow comes again.
        """
        visitor.settimeout(min(left, _GREETING))
        with contextlib.suppress(OSError, ValueError):
            number = int(visitor.recv(16))
            if 0 < number < self.processes:
                return number
        visitor.close()
        return None

    def _visit(self, address: tuple[str, int], deadline: float, wait: float) -> None:
        reason: Exception | None = None
        while (left := deadline - time.monotonic()) > 0:
            try:
                with socket.create_connection(address, timeout=left) as server:
                    server.sendall(f"{self.process:16d}".encode())
                    if server.recv(2) == b"go":
                        return
            except OSError as error:
                reason = error
            time.sleep(0.1)
        raise InputError(
            f"Wanted: process 0 at {self.coordinator}, with all others. Received: "
            f"{reason or 'no start'} after {wait:g} s. Start all {self.processes} at "
            "the same time, and check that this address can be reached."
        )


def find_cluster(
    processes: str | None, process: int | None, coordinator: str | None
) -> Cluster | None:
    """Returns which process of which job this is, None if it is the only one.

    Args:
        processes: str or None. A number, or "slurm": as `srun` started them.
        process: int or None. Number of this process.
        coordinator: str or None. HOST:PORT of process 0, or a list by commas with it
            first.

    Raises:
        InputError: the number is none, or what else is needed is missing.
    """
    if processes is None or processes == "1":
        return None
    if processes == "slurm":
        return _slurm(coordinator)
    if not processes.isdecimal() or not int(processes):
        raise InputError(
            "Wanted: --processes N, a number above 0, or slurm. Received: "
            f"{processes!r}. Correct it."
        )
    if process is None or not coordinator:
        raise InputError(
            f"Wanted: --process I and --coordinator HOST:PORT with --processes "
            f"{processes}. Received: --process {process}, --coordinator {coordinator}. "
            "Give both, or --processes slurm under srun."
        )
    return Cluster(int(processes), process, coordinator.partition(",")[0])


def _slurm(coordinator: str | None) -> Cluster | None:
    missing = [name for name in _SLURM if name not in os.environ]
    if missing:
        raise InputError(
            "Wanted: a process started by srun, for --processes slurm. Received: no "
            f"{', '.join(missing)}. Put srun before the command."
        )
    job, count, process, nodes = (os.environ[name] for name in _SLURM)
    if coordinator is None:
        # "node7", "node7,node9" or "node[07-12,20],other": the first is wanted.
        first = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", nodes)
        low, number = _PORTS
        host = first[1] + (first[2] or "") if first else nodes
        coordinator = f"{host}:{low + int(job) % number}"
    return None if count == "1" else Cluster(int(count), int(process), coordinator)

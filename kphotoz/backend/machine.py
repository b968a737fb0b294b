"""The processor and the memory that this process may use, as Linux tells them.

Containers and batch systems limit a process by control groups, one within another: the
smallest limit on the way up counts.
"""

import os
import pathlib
import platform
import re
from collections.abc import Iterator

__all__ = ["cores", "flags", "free_memory", "processor"]

# What decides about the order of sums in vector kernels, by the flag's beginning.
_VECTOR = ("amx", "avx", "fma", "sse", "asimd", "sve")
# Where the groups of a controller are, and its files: limit, use, and the line of
# memory.stat on files that were read; version 2 of the groups, then version 1.
_MEMORY = {
    "": ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def cores() -> int:
    """Returns the processor cores that this process may use, its container's quota too.

    Containers limit time instead of cores: more threads than the quota only wait.
    """
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        usable = os.cpu_count() or 1
    quotas = [_text(x / "cpu.max").split() for x in _groups("", "/sys/fs/cgroup")]
    for folder in _groups("cpu", "/sys/fs/cgroup/cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quotas.append([_text(folder / name).strip() for name in names])
    for quota in quotas:  # empty, "max" or -1 where there is none
        if len(quota) == 2 and all(number.isdecimal() for number in quota):
            usable = min(usable, max(1, round(int(quota[0]) / int(quota[1]))))
    return usable


def free_memory() -> int:
    """Returns the memory that is free to this process, in its container too [byte].

    Where the system does not tell, as on macOS: the memory of the machine.
    """
    available = _number("/proc/meminfo", "MemAvailable:")  # KiB
    if available is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = 1024 * available
    for controller, (top, limit, used, read) in _MEMORY.items():
        for folder in _groups(controller, top):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                # Files that were read count as used, and go as soon as others need the
                # memory.
                gone = _number(folder / "memory.stat", read) or 0
                free = min(free, max(0, most - taken + gone))
    return free


def flags() -> set[str]:
    """Returns what the processor can do, by Linux' names; elsewhere nothing."""
    return set(_of_processor("flags|Features").split())


def processor() -> str:
    """Returns the processor's name and the vector instructions that it has."""
    name = _of_processor("model name") or platform.processor()
    return " ".join([name, *sorted(x for x in flags() if x.startswith(_VECTOR))])


def _of_processor(names: str) -> str:
    match = re.search(rf"^(?:{names})\s*:(.*)", _text("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else ""


def _groups(controller: str, top: str) -> Iterator[pathlib.Path]:
    """Yields the folders of this process's groups, from its own up to the top.

    A container may show the path that its machine knows, which is not in it.
    """
    pattern = rf"^[0-9]+:(?:[^:\n]*,)?{controller}(?:,[^:\n]*)?:/(.*)"
    match = re.search(pattern, _text("/proc/self/cgroup"), re.MULTILINE)
    own = pathlib.PurePosixPath(match[1] if match else "")
    for part in (own, *own.parents):
        yield pathlib.Path(top) / part


def _number(path: str | os.PathLike, name: str = "") -> int | None:
    """Returns the number after a name in a file of Linux; None without, as "max"."""
    match = re.search(rf"^{name}\s*([0-9]+)", _text(path), re.MULTILINE)
    return int(match[1]) if match else None


def _text(path: str | os.PathLike) -> str:
    try:
        return pathlib.Path(path).read_text()
    except OSError:  # not Linux, or no such limit
        return ""

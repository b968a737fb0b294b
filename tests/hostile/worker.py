"""Uses files of targets as they lie on the disk; the parent damages them and watches.

    python worker.py FOLDER PIPE TARGET…

writes the good files of each target and tells {target: {file: kind of damage}} as JSON.
For each target that it then reads from its input it tells "MiB OUTCOME", where the
outcome is used, refused, or what went wrong. By hand, with a file kept by `watch.py`:

    python worker.py FOLDER 1 TARGET < KEPT
"""

import json
import os
import pathlib
import re
import resource
import sys
import traceback

import faults
import outputs
import readers
import stores
import texts

DATA = readers.TARGETS | texts.TARGETS | outputs.TARGETS
HOSTILE = DATA | stores.TARGETS
TARGETS = HOSTILE | faults.TARGETS
NEED_KERAS = {*stores.TARGETS, "recipe", "settings", "survey", "beam"}  # or TensorFlow
_ROOM = 6 << 30  # bytes of addresses beyond those of the start: our machine's safety


class Target:
    """Good files of a target in a folder of its own, and what uses them.

    Args:
        name: str.
        folder: path.
    """

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        folder.mkdir(exist_ok=True)
        self.files, self._use = TARGETS[name][0](folder)
        self._use()  # the good files are used, or nothing is shown

    def outcome(self) -> str:
        """Returns how the files, as they are now, were taken."""
        from kphotoz.errors import InputError

        try:
            self._use()
        except InputError as error:
            told = str(error)
            if _lacked_memory(error):  # with more of it, it would have taken more
                return f"asked for more than {_ROOM >> 20} MiB: {told[:300]}"
            if "\n" in told or "Wanted" not in told or len(told) > 4000:
                return f"not one clean line: {told[:300]!r}"
            return "refused"
        except BaseException as error:
            if os.environ.get("KPHOTOZ_TRACEBACK"):
                traceback.print_exc()
            places = traceback.extract_tb(error.__traceback__)
            ours = [x for x in places if "kphotoz" in x.filename or "cli" in x.filename]
            name = pathlib.Path((ours or places)[-1].filename).name
            told = " ".join(str(error).split())[:200]
            line = (ours or places)[-1].lineno
            return f"{type(error).__name__} at {name}:{line}: {told}"
        return "used"


def main(folder: str, pipe: int, *names: str) -> None:
    targets = {name: Target(name, pathlib.Path(folder) / name) for name in names}
    size = int(re.search(r"VmSize:\s+(\d+)", _status())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))
    _tell(pipe, json.dumps({name: target.files for name, target in targets.items()}))
    before = _children()
    for line in sys.stdin:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        outcome = targets[line.strip()].outcome()
        peak = int(re.search(r"VmHWM:\s+(\d+)", _status())[1])
        if _children() > before:  # the most that any child took: this case's
            before = _children()
            peak = max(peak, before)
        _tell(pipe, f"{peak >> 10} {outcome}")


def _lacked_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _children() -> int:
    """Returns the largest memory of a child that has ended [KiB]."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def _status() -> str:
    return pathlib.Path("/proc/self/status").read_text()


def _tell(pipe: int, line: str) -> None:
    held = line.encode("utf-8", "replace") + b"\n"
    while held:
        held = held[os.write(pipe, held) :]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

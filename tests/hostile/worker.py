"""Runs damaged files of targets, one after the other; the parent watches.

    python worker.py FOLDER PIPE TARGET:NUMBER…

with 1 as PIPE repeats cases by hand. Each case tells "begin CASE" and "end CASE MiB
OUTCOME", where the outcome is used, refused, or what went wrong.
"""

import os
import pathlib
import re
import resource
import sys
import traceback
import zlib

import faults
import mutations
import numpy as np
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
        self.name, self.folder = name, folder
        folder.mkdir(exist_ok=True)
        self.files, self.use = TARGETS[name][0](folder)
        self.good = {file: (folder / file).read_bytes() for file in self.files}
        self.use()  # the good files are used, or nothing is shown

    def outcome(self, number: int) -> str:
        """Returns how a mutated file of this number was taken."""
        random = np.random.default_rng([zlib.crc32(self.name.encode()), number])
        file = str(random.choice(sorted(self.files)))
        (self.folder / file).write_bytes(self.damaged(random, file))
        try:
            return _outcome(self.use)
        finally:
            (self.folder / file).write_bytes(self.good[file])

    def damaged(self, random: np.random.Generator, file: str) -> bytes:
        """Returns the bytes of a file, changed in any case."""
        damage, good = mutations.KINDS[self.files[file]], self.good[file]
        while (found := damage(random, good)) == good:
            pass
        return found


def main(folder: str, pipe: int, *cases: str) -> None:
    names = dict.fromkeys(case.partition(":")[0] for case in cases)
    targets = {name: Target(name, pathlib.Path(folder) / name) for name in names}
    size = int(re.search(r"VmSize:\s+(\d+)", _status())[1]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (size + _ROOM, size + _ROOM))
    before = _children()
    for case in cases:
        name, _, number = case.partition(":")
        _tell(pipe, f"begin {case}")
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        outcome = targets[name].outcome(int(number))
        peak = int(re.search(r"VmHWM:\s+(\d+)", _status())[1])
        if _children() > before:  # the most that any child took: this case's
            before = _children()
            peak = max(peak, before)
        _tell(pipe, f"end {case} {peak >> 10} {outcome}")


def _outcome(use) -> str:
    from kphotoz.errors import InputError

    try:
        use()
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
        return f"{type(error).__name__} at {name}:{(ours or places)[-1].lineno}: {told}"
    return "used"


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
    os.write(pipe, (line.encode("utf-8", "replace")[:900] + b"\n"))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

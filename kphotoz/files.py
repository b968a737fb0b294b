"""Files that appear whole or not at all, and the hashes that name their content."""

import contextlib
import errno
import hashlib
import inspect
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import filelock
import numpy as np
import safetensors
import safetensors.numpy

from kphotoz.errors import InputError

__all__ = [
    *("atomic", "check_output", "exclusive", "exists", "half_written", "hash_arrays"),
    *("hash_file", "sweep", "write_json", "write_tensors", "write_text"),
]

# A file on its way, as `atomic` names it. Groups: stem, process that writes it, ending.
_ASIDE = re.compile(r"\.(.+)\.([0-9]+)\.partial(\..+)?")

# What the system says where a file system has no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write to; renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, since writers choose formats by it.

    Raises:
        InputError: the folder cannot be written to.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with open(aside, "rb+") as file:  # a loss of power must not leave it empty
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # where it cannot be, it is not
            aside.unlink()


@contextlib.contextmanager
def exclusive(lock: str | os.PathLike, writes: str | os.PathLike) -> Iterator[None]:
    """Lets one process at a time into the block; the end of a process frees it.

    Where the file system has no locks, none is taken: a file that stands for one would
    outlive a kill.

    A folder that was made for the lock, and in which nothing was written, goes again.

    Args:
        lock: path of a file that exists while the block runs, and after a kill.
        writes: path that the block writes to, for the message.

    Raises:
        InputError: another process is in the block, or the file cannot be written.
    """
    lock = pathlib.Path(lock)
    made = not lock.parent.exists()
    held = filelock.FileLock(lock, timeout=0, **_hard())
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except filelock.Timeout:
        raise InputError(
            f"Wanted: a place that no other run writes to. Received: {writes}, where "
            f"one is at work (it holds {lock}). Wait for its end, or choose another "
            "--out."
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise _unwritable(writes, error) from error
    except NotImplementedError:
        pass  # an older filelock, which tells so that there are no locks
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        held.release()
        if made:
            with contextlib.suppress(OSError):  # not empty: something was written
                lock.parent.rmdir()


def _hard() -> dict[str, Any]:
    """Returns what keeps newer filelocks from files that stand for locks."""
    known = inspect.signature(filelock.FileLock.__init__).parameters
    return {name: False for name in ("fallback_to_soft",) if name in known}


def exists(path: pathlib.Path) -> bool:
    """Returns whether a path exists, or cannot be looked at, as in a private folder.

    No file can have a name of null characters.
    """
    try:
        return path.exists()
    except OSError:
        return True
    except ValueError:
        return False


def sweep(path: str | os.PathLike) -> None:
    """Removes what killed processes left half-written for a file, or in a folder.

    In a folder, what a process of this machine may still be writing stays: a command
    can have its output below the folder of another one.

    Args:
        path: path of a file, there or not, to which nobody else may write, or of a
            folder.
    """
    path = pathlib.Path(path)
    leftovers = path.rglob(".*") if path.is_dir() else path.parent.glob(".*")
    whole = path.is_dir()
    for aside in list(leftovers):
        if _is_left(aside.name) if whole else half_written(aside, path):
            aside.unlink(missing_ok=True)


def _is_left(name: str) -> bool:
    """Returns whether a file's name is of one on its way, and its writer has ended."""
    half = _ASIDE.fullmatch(name)
    if half is None:
        return False
    writer = int(half[2])
    if writer == os.getpid():
        return True  # an earlier one's: this process is not writing yet
    try:
        os.kill(writer, 0)
    except PermissionError:
        return False
    except (OSError, OverflowError):
        return True
    return False


def check_output(out: pathlib.Path, *inputs: pathlib.Path) -> None:
    """Checks that a command does not replace what it reads.

    Raises:
        InputError: the output is one of the inputs.
    """
    for path in inputs:
        if os.path.realpath(path) == os.path.realpath(out):
            raise InputError(
                f"Wanted: an output other than the input {path}. Received: --out "
                f"{out}. Choose another --out."
            )


def half_written(aside: pathlib.Path, path: pathlib.Path) -> bool:
    """Returns whether a file is what `atomic` began to write for `path`.

    Another ending is another file, which its own process may be writing; only .keras
    files have another one while they lose their dates.
    """
    half = _ASIDE.fullmatch(aside.name)
    if half is None:
        return False
    return half[1] == path.stem and half[3] in (path.suffix or None, ".undated")


def _unwritable(path: str | os.PathLike, error: OSError) -> InputError:
    return InputError(
        f"Wanted: a place to write {path}. Received: {error.strerror or error}. "
        "Choose another output or free the space."
    )


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path` atomically."""
    with atomic(path) as aside:
        aside.write_text(text, "utf-8")


def write_tensors(
    path: str | os.PathLike, tensors: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Writes arrays to a safetensors file atomically."""
    tensors = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
    with atomic(path) as aside:
        try:
            safetensors.numpy.save_file(tensors, aside, metadata)
        except safetensors.SafetensorError as error:  # a full disk, for example
            raise OSError(str(error)) from error


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON with sorted keys; NaN becomes null."""
    text = json.dumps(plain(value), indent=1, sort_keys=True, allow_nan=False)
    write_text(path, text + "\n")


def plain(value: Any) -> Any:
    """Returns a value as JSON has it: arrays are lists, what is not finite None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def hash_file(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """Returns the SHA-256 of the arrays' shapes, dtypes and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

import errno
import fcntl
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from kphotoz.errors import InputError, unknown
from kphotoz.files import (
    atomic,
    check_output,
    exclusive,
    hash_arrays,
    sweep,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_json_has_null_where_a_number_is_not_finite(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": np.float64("nan"), "b": [np.int64(2), np.array([np.inf])]})
    assert json.loads(path.read_text()) == {"a": None, "b": [2, [None]]}


def test_hashes_tell_shape_and_dtype_apart():
    arrays = [np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((2, 3), "float32")]
    assert len({hash_arrays(array) for array in arrays}) == 3


def test_unknown_names_get_their_nearest():
    assert "Did you mean lora?" in str(unknown("regime", "lorra", ["lora", "full"]))


def test_a_full_or_missing_place_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in ("/proc/x/y.txt", tmp_path / "file" / "y.txt", tmp_path / ("x" * 250)):
        with pytest.raises(InputError, match="a place to write"), atomic(path):
            pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_is_swept_of_what_no_process_writes(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "jobs").mkdir()
    for number in (child.pid, ended.pid, os.getpid()):
        (tmp_path / "jobs" / f".a.{number}.partial.json").write_text("half")
    sweep(tmp_path)
    left = [path.name for path in (tmp_path / "jobs").iterdir()]
    child.communicate(b"\n")
    assert left == [f".a.{child.pid}.partial.json"]


def test_an_output_that_is_an_input_is_refused_through_links_too(tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    (tmp_path / "b.csv").symlink_to("a.csv")
    check_output(tmp_path / "c.csv", tmp_path / "a.csv", tmp_path / "b.csv")
    with pytest.raises(InputError, match="other than the input .*a.csv"):
        check_output(tmp_path / "b.csv", tmp_path / "a.csv")


def test_text_is_utf8_in_any_language(tmp_path):
    code = "from kphotoz.files import write_text; write_text('a.txt', 'z \\u2212 1')"
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    environment |= {"PYTHONCOERCECLOCALE": "0"}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True
    )
    assert (tmp_path / "a.txt").read_bytes() == "z − 1".encode()


def test_a_lock_keeps_others_out_until_its_process_ends(tmp_path):
    lock = tmp_path / ".lock"
    code = (
        "import sys, time; from kphotoz.files import exclusive\n"
        "with exclusive(sys.argv[1], 'runs/a'): print('in', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "in\n"
    with pytest.raises(InputError, match=f"no other run.*Received: {tmp_path}.*{lock}"):
        with exclusive(lock, tmp_path):
            pass
    other.kill()
    other.communicate()
    assert lock.exists()  # a kill leaves the file, and nobody holds it
    with exclusive(lock, tmp_path):
        assert lock.exists()
    assert not lock.exists()


def test_a_folder_made_for_a_lock_goes_again_unless_it_is_used(tmp_path):
    for old, used in ((False, False), (True, False), (False, True)):
        folder = tmp_path / f"{old}-{used}"
        if old:
            folder.mkdir()
        with pytest.raises(KeyError), exclusive(folder / ".lock", folder):
            (folder / "table.csv").touch() if used else None
            raise KeyError
        assert folder.exists() == (old or used)
    assert [path.name for path in folder.iterdir()] == ["table.csv"]


# Processes of these numbers there are none.
def test_half_written_files_of_killed_processes_are_removed_and_nothing_else(tmp_path):
    kept = ["a.csv", ".hidden", ".a.partial.csv"]
    others = [
        ".b.99999912.partial.csv",
        ".a.99999907.partial.parquet",
        ".a.99999907.partial",
    ]
    left = [
        ".a.99999912.partial.csv",
        ".a.99999907.partial.csv",
        ".a.99999907.partial.undated",
    ]
    for name in (*kept, *others, *left):
        (tmp_path / name).touch()
    sweep(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept + others)
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_what_a_kill_leaves_has_the_name_that_is_swept(tmp_path):
    code = (
        "import os, sys; from kphotoz.files import atomic\n"
        "with atomic(sys.argv[1]) as aside: aside.touch(); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "table.v2.parquet"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    sweep(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP])
def test_work_goes_on_where_the_file_system_has_no_locks(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(tmp_path / ".lock", tmp_path):
        (tmp_path / "a").touch()
        # what a killed process would leave keeps nobody out
        with exclusive(tmp_path / ".lock", tmp_path):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]

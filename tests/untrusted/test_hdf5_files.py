"""HDF5 files that libhdf5 does not survive, or that say more than they hold."""

import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.readers import open_survey_file
from kphotoz.untrusted import hdf5_files
from kphotoz.untrusted.hdf5_files import check_hdf5

IMAGES = np.ones((4, 2, 16, 16), "f4")


def write(path, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, **options)
        file["redshift"] = np.linspace(0.1, 0.4, 4)
        file["images"].attrs["bands"] = "g,r"  # text, which lies in a global heap
    return path


def break_heap(path):
    """Gives the first object of the global heap no length: h5py then never returns."""
    content = bytearray(path.read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 24 : heap + 32] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(content)


def refused(path, told):
    with pytest.raises(InputError, match=told) as caught:
        open_survey_file(FileSpec.create(file=path))
    assert "HDF5" in str(caught.value)


def test_a_file_that_hangs_libhdf5_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5")
    check_hdf5(path)
    monkeypatch.setattr(hdf5_files, "_SECONDS", 2.0)
    break_heap(path)
    refused(path, "does not get through|crashes|Can't|Unable|heap")


def test_a_busy_machine_refuses_no_good_file(tmp_path, monkeypatch):
    script = tmp_path / "waits.py"
    script.write_text("import time; time.sleep(2.5)")  # but does not compute
    monkeypatch.setattr(hdf5_files, "_PROBE", script)
    monkeypatch.setattr(hdf5_files, "_SECONDS", 1.0)
    check_hdf5(write(tmp_path / "a.h5"))


def test_a_probe_that_dies_is_told(tmp_path, monkeypatch):
    script = tmp_path / "dies.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(hdf5_files, "_PROBE", script)
    with pytest.raises(ValueError, match="libhdf5 crashes on it, status -11"):
        check_hdf5(write(tmp_path / "a.h5"))


def test_a_shape_bomb_is_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.create_dataset("id", (10**9,), "f8", chunks=(1000,), compression="gzip")
    refused(path, "/id declares 8000000000 bytes, holds 0")


def test_a_chunk_that_fills_the_memory_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        images = file.create_dataset(
            "images", (4, 2, 16, 16), "f4", chunks=(10**6, 2, 16, 16),
            maxshape=(None, 2, 16, 16), compression="gzip",
        )  # fmt: skip
        images.attrs["bands"] = "g,r"
        file["redshift"] = np.ones(4)
    refused(path, "chunks of 2048000000 bytes")


def test_a_text_that_declares_more_than_the_memory_is_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    content = bytearray(path.read_bytes())
    place = struct.pack("<IQI", 3, content.index(b"GCOL"), 1)  # of the 3 bytes "g,r"
    at = content.index(place)
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)
    refused(path, "memory|heap")
    code = (
        "import resource, sys; from kphotoz.untrusted import hdf5_files\n"
        "try: hdf5_files.check_hdf5(sys.argv[1])\n"
        "except ValueError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    assert 0 < int(done.stdout) < 2 << 20  # KiB


def test_values_kept_in_other_files_are_refused(tmp_path):
    path, secret = tmp_path / "a.h5", tmp_path / "secret"
    secret.write_bytes(bytes(IMAGES.nbytes))
    with h5py.File(path, "w") as file:
        external = [(str(secret), 0, IMAGES.nbytes)]
        file.create_dataset("images", IMAGES.shape, "f4", external=external)
        file["redshift"] = np.ones(4)
    refused(path, "/images is kept in other files")


def test_a_changed_file_is_checked_again(tmp_path):
    path = write(tmp_path / "a.h5")
    check_hdf5(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match="runcated|Unable|rror"):
        check_hdf5(path)


def test_compressed_images_pass(tmp_path):
    path = write(tmp_path / "a.h5", chunks=(1, 2, 16, 16), compression="gzip")
    with open_survey_file(FileSpec.create(file=path)) as file:
        _, images, _ = next(file.chunks(4))
    np.testing.assert_array_equal(images, np.moveaxis(IMAGES, 1, -1))

"""Arrays that TFDS stores as bytes are read a batch at a time; TFDS is the oracle.

Large arrays are on a disk that has room for them: the operating system tells.
"""

import os
import resource
import shutil
import tempfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kphotoz.backend import machine
from kphotoz.data.split_store import SplitStore, allocate
from kphotoz.errors import InputError


@pytest.fixture
def store(tiny, tmp_path):
    """The training split of a copy of the tiny survey."""
    (built, _), *_ = tiny["train"]._parts
    folder = tmp_path / "tiny"
    shutil.copytree(built.builder.data_dir, folder)
    return SplitStore(tfds.builder_from_directory(folder), "train", built.info)


@pytest.mark.parametrize(("size", "start"), [(7, 0), (256, 0), (16, 5), (3, 39)])
def test_arrays_are_what_tfds_reads(store, size, start):
    whole = store.builder.as_dataset(split="train", shuffle_files=False)
    expected = np.stack([row["image"] for row in tfds.as_numpy(whole)])[start:]
    assert store._is_stored_as_bytes("image")
    batches = [batch["image"] for batch in store.read(["image"], size, start)]
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), expected)


@pytest.mark.parametrize("change", ["longer", "shorter", "one longer", "missing"])
def test_arrays_of_another_size_are_refused(store, change):
    (path,) = store.builder.info.splits["train"].filepaths
    records = []
    for number, record in enumerate(tf.data.TFRecordDataset(str(path))):
        example = tf.train.Example.FromString(record.numpy())
        (image,) = example.features.feature["image"].bytes_list.value
        changed = {"longer": 2 * image, "shorter": image[: len(image) // 2]}
        changed["one longer"] = 2 * image if number == 3 else image
        if change == "missing":
            del example.features.feature["image"]
        else:
            example.features.feature["image"].bytes_list.value[:] = [changed[change]]
        records.append(example.SerializeToString())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    with pytest.raises(InputError, match="Wanted: a survey as it was built"):
        list(store.read(["image"]))


def test_numbers_are_left_to_tfds(store):
    assert not store._is_stored_as_bytes("redshift")
    rows = tfds.as_numpy(store.builder.as_dataset(split="train", shuffle_files=False))
    (batch,) = store.read(["redshift"])
    np.testing.assert_array_equal(batch["redshift"], [row["redshift"] for row in rows])


@pytest.fixture
def no_memory(monkeypatch, tmp_path):
    """No free memory, and a folder of our own for temporary files."""
    monkeypatch.setattr(machine, "free_memory", lambda: 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_large_arrays_are_on_the_disk_and_small_ones_in_memory(monkeypatch, no_memory):
    assert isinstance(allocate((10, 3)), np.memmap)
    monkeypatch.setattr(machine, "free_memory", lambda: 2 * 4 * 30)
    assert not isinstance(allocate((10, 3)), np.memmap)
    assert isinstance(allocate((10, 4)), np.memmap)
    assert list(no_memory.iterdir()) == []


@pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="the system reserves no space"
)
def test_the_disk_space_of_an_array_is_taken_at_once(monkeypatch, no_memory):
    made = tempfile.TemporaryFile
    kept = []

    def remembered():
        file = made()
        kept.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", remembered)
    array = allocate((1000, 1000))
    found = os.fstat(kept[0])
    os.close(kept[0])
    assert array.nbytes == found.st_size == 4_000_000
    assert 512 * found.st_blocks >= 4_000_000


def test_a_full_disk_is_told_before_anything_is_read(no_memory):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputError, match="room for 3.7 GiB.*too large") as told:
            allocate((1000, 1000, 1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(no_memory) in str(told.value) and "\n" not in str(told.value)
    assert list(no_memory.iterdir()) == []


def test_a_disk_that_cannot_reserve_space_is_used_all_the_same(monkeypatch, no_memory):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    array = allocate((10, 3))
    array[:] = 1
    assert array.sum() == 30

"""Arrays that TFDS stores as bytes are read a batch at a time; TFDS is the oracle."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kphotoz.data.split_store import SplitStore
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

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_datasets.core import example_serializer

from kphotoz_datasets._encoding import Column, RowEncoder

COLUMNS = (
    Column("image", "pixels", "raw", (40, 30, 2)),
    Column("colour", "magnitudes", shape=(5,)),
    Column("redshift", "scalar"),
    Column("Zebra", "capital letters sort first", shape=(2, 3)),
    Column("ra", "exact", "raw", dtype="float64"),
    Column("number", "exact", "raw", dtype="int64"),
    Column("unit", "text", "text"),
    Column("nome", "text", "text"),
)


def values(count, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {
        c.name: rng.normal(size=(count, *c.shape)).astype(c.dtype)
        for c in COLUMNS
        if c.kind != "text"
    }
    numbers["number"] = rng.integers(-(2**62), 2**62, count)
    numbers["redshift"][0] = np.nan
    texts = ["", "é, two bytes", "x" * 127, "y" * 128, "z" * 20000]
    text = {
        "unit": [texts[row % 5].encode() for row in range(count)],
        "nome": [b"same"] * count,
    }
    return numbers | text


def test_records_have_the_bytes_of_tfds_own():
    encoder = RowEncoder(COLUMNS)
    features = encoder.features()
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    given = values(7)
    records = list(encoder.encode(given))
    assert len(records) == 7
    for row, record in enumerate(records):
        example = features.encode_example({k: v[row] for k, v in given.items()})
        wanted = serializer.get_tf_example(example)
        assert record == wanted.SerializeToString(deterministic=True), f"row {row}"


def test_tensorflow_reads_every_value_back():
    given = values(3, seed=4)
    for row, record in enumerate(RowEncoder(COLUMNS).encode(given)):
        found = tf.train.Example.FromString(record).features.feature
        assert set(found) == set(given)
        image = np.frombuffer(found["image"].bytes_list.value[0], np.float32)
        np.testing.assert_array_equal(image, given["image"][row].ravel())
        colour = found["colour"].float_list.value
        np.testing.assert_array_equal(colour, given["colour"][row])
        ra = np.frombuffer(found["ra"].bytes_list.value[0])
        assert ra.tolist() == [given["ra"][row]]
        assert found["unit"].bytes_list.value[0] == given["unit"][row]


def test_strided_and_other_typed_values_are_encoded_alike():
    encoder, given = RowEncoder(COLUMNS), values(4)
    other = dict(given)
    other["image"] = np.moveaxis(np.moveaxis(given["image"], 3, 1).copy(), 1, 3)
    other["ra"] = given["ra"].astype(">f8")
    other["colour"] = given["colour"].astype(np.float64)
    assert list(encoder.encode(other)) == list(encoder.encode(given))


def test_no_rows_give_no_records_and_a_wrong_shape_is_told():
    encoder = RowEncoder(COLUMNS)
    assert (
        list(encoder.encode(values(5) | {k: v[:0] for k, v in values(5).items()})) == []
    )
    with pytest.raises(ValueError, match=r"`colour` .*\(4, 5\).*Received: \(4, 4\)"):
        list(encoder.encode(values(4) | {"colour": np.zeros((4, 4))}))

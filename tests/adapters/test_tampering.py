"""Files with the tensors of PiSSA and DoRA: nothing damaged is taken, nothing run."""

import json
import struct

import keras
import numpy as np
import pytest
import safetensors.numpy

from kphotoz import adapters
from kphotoz.adapters import file_format
from kphotoz.errors import InputError


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    x = keras.Input((6, 5))
    y = keras.layers.Conv1D(4, 3, kernel_initializer="zeros", name="conv")(x)
    y = keras.layers.Dense(3, kernel_initializer="zeros", name="head")(y)
    base = keras.Model(x, y)
    rng = np.random.default_rng(0)
    for weight in base.weights:
        weight.assign(rng.normal(size=weight.shape))
    model = adapters.apply(base, 2, start="pissa", dora=True)
    path = tmp_path_factory.mktemp("file") / "a.safetensors"
    adapters.save(model, path)
    return base, path.read_bytes()


@pytest.fixture
def file(told, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(told[1])
    return path


def _refused(told, path):
    with pytest.raises(InputError, match="Wanted") as caught:
        adapters.load(told[0], path)
    assert "\n" not in str(caught.value)


def _rewrite(path, change_header, change_tensors):
    header, tensors = file_format.read(path)
    described = json.loads(header.model_dump_json())
    change_header(described)
    change_tensors(tensors)
    meta = {"kphotoz_adapter": json.dumps(described)}
    safetensors.numpy.save_file(tensors, path, meta)


def _nothing(_):
    pass


def _entry(**changes):
    return lambda header: header["entries"][0].update(changes)


def _values(name, change):
    def apply(tensors):
        tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return apply


MAGNITUDE, A, A0, B0 = (
    f"lora/conv/{name}" for name in ("magnitude", "a", "a_start", "b_start")
)
TAMPERED = {
    "no a_start": (_nothing, lambda x: x.pop(A0)),
    "no magnitude": (_nothing, lambda x: x.pop(MAGNITUDE)),
    "a second magnitude": (_nothing, lambda x: x.update({"lora/x/magnitude": x[A]})),
    "a_start of another shape": (_nothing, _values(A0, lambda x: x[1:])),
    "b_start of another rank": (_nothing, _values(B0, lambda x: x[:1])),
    "magnitude too long": (_nothing, _values(MAGNITUDE, lambda x: np.tile(x, 2))),
    "magnitude of two axes": (_nothing, _values(MAGNITUDE, lambda x: x[None])),
    "infinite magnitude": (_nothing, _values(MAGNITUDE, lambda x: x + np.inf)),
    "NaN in b_start": (_nothing, _values(B0, lambda x: x * np.nan)),
    "whole numbers": (_nothing, _values(A0, lambda x: x.astype("int32"))),
    "a start that is unknown": (_entry(start="__import__('os')"), _nothing),
    "no start but its tensors": (_entry(start="zero"), _nothing),
    "no dora but its magnitude": (_entry(dora=False), _nothing),
    "a path that leaves the model": (_entry(path="../../etc/passwd"), _nothing),
    "a huge rank": (_entry(rank=10**9), _nothing),
    "a rank of the wrong size": (_entry(rank=1), _nothing),
    "another shape": (_entry(shape=[3, 5, 5]), _nothing),
    "an infinite alpha": (_entry(alpha=float("inf")), _nothing),
    "a NaN alpha": (_entry(alpha=float("nan")), _nothing),
    "another policy": (lambda x: x.update(batch_norm="sometimes"), _nothing),
    "a dropout of 7": (lambda x: x.update(dropout=7.0), _nothing),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_file_is_refused_in_one_line(told, file, name):
    _rewrite(file, *TAMPERED[name])
    _refused(told, file)


def _renamed(path, old, new):
    """Moves the tensors and the header of an entry to another path."""

    def tensors(held):
        for name in list(held):
            if name.startswith(f"lora/{old}/"):
                held[name.replace(old, new, 1)] = held.pop(name)

    def header(described):
        described["entries"][0]["path"] = new

    _rewrite(path, header, tensors)


def test_an_entry_that_points_outside_goes_to_its_kernel_by_hash_only(told, file):
    before = sorted(file.parent.iterdir())
    _renamed(file, "conv", "../../conv")
    model = adapters.load(told[0], file)
    rows = [row["path"] for row in adapters.report(model) if row["rank"]]
    assert rows == ["conv"]
    assert sorted(file.parent.iterdir()) == before


@pytest.mark.parametrize("kept", [0, 4, 8, 200, 0.5, 0.99, -1])
def test_truncated_file_is_refused_in_one_line(told, file, kept):
    size = int(kept * len(told[1])) if isinstance(kept, float) else kept
    file.write_bytes(told[1][:size])
    _refused(told, file)


def test_trailing_bytes_are_refused(told, file):
    file.write_bytes(told[1] + b"import os")
    _refused(told, file)


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1])
def test_a_header_of_absurd_length_is_refused_without_reading_it(told, file, size):
    file.write_bytes(struct.pack("<Q", size) + told[1][8:])
    _refused(told, file)


def test_a_tensor_that_announces_more_than_the_file_holds_is_refused(told, file):
    length = struct.unpack("<Q", told[1][:8])[0]
    header = json.loads(told[1][8 : 8 + length])
    header[MAGNITUDE]["shape"] = [2**40]
    text = json.dumps(header).encode()
    data = told[1][8 + length :]
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    _refused(told, file)


def test_a_pickle_is_refused_and_not_run(told, tmp_path):
    mark = tmp_path / "run"
    program = f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode()
    path = tmp_path / "a.safetensors"
    for content in (program, b"\x80\x04" + program):
        path.write_bytes(content)
        _refused(told, path)
    assert not mark.exists()

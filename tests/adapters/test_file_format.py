import json

import numpy as np
import pytest
import safetensors.numpy

from kphotoz import adapters
from kphotoz.adapters import file_format
from kphotoz.errors import InputError


@pytest.fixture
def file(trained, tmp_path):
    path = tmp_path / "adapter.safetensors"
    adapters.save(trained, path)
    return path


def _refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        file_format.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, -1])
def test_truncated_file_is_refused_in_one_line(file, kept):
    whole = file.read_bytes()
    size = int(kept * len(whole)) if isinstance(kept, float) else kept
    file.write_bytes(whole[:size])
    _refused(file, "no whole safetensors file")


def test_garbage_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "garbage.safetensors"
    path.write_bytes(bytes(range(256)) * 10)
    _refused(path, "Wanted: a whole adapter file")
    _refused(tmp_path / "nothing.safetensors", "no such file")


def test_run_folder_is_told_where_its_adapter_is(tmp_path):
    _refused(tmp_path, "a folder.*adapter.safetensors")


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"x": np.ones(3)}, path, {"format": "pt"})
    _refused(path, "kphotoz did not write")


def _rewrite(file, change_header=None, change_tensors=None):
    header, tensors = file_format.read(file)
    described = json.loads(header.model_dump_json())
    (change_header or (lambda x: None))(described)
    (change_tensors or (lambda x: None))(tensors)
    meta = {"kphotoz_adapter": json.dumps(described)}
    safetensors.numpy.save_file(tensors, file, meta)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.pop("base_hash"),
        lambda x: x.update(entries=[]),
        lambda x: x.update(version=2),
        lambda x: x["entries"][0].update(rank=0),
        lambda x: x["entries"][0].update(alpha="much"),
    ],
)
def test_tampered_header_is_refused(file, change):
    _rewrite(file, change_header=change)
    _refused(file, "a header that is not ours")


def _break_shape(tensors):
    tensors["lora/block/b"] = tensors["lora/block/b"][:, 1:]


def _lift_shape(tensors):
    tensors["head/head_2/1"] = tensors["head/head_2/1"][..., None]


def _break_value(tensors):
    tensors["norm/stem_norm/0"] = tensors["norm/stem_norm/0"] * np.nan


@pytest.mark.parametrize(
    "change,match",
    [
        (lambda x: x.pop("lora/stem/a"), "lora/stem/a"),
        (lambda x: x.update(extra=np.ones(2, "float32")), "extra"),
        (_break_shape, "do not fit the kernel block"),
        (_lift_shape, "another shape of head/head_2/1"),
        (_break_value, "not finite floats in norm/stem_norm/0"),
    ],
)
def test_tampered_tensors_are_refused(file, change, match):
    _rewrite(file, change_tensors=change)
    _refused(file, match)


def test_file_says_what_it_is_and_what_it_was_made_with(file, base):
    import keras

    from kphotoz import __version__
    from kphotoz.adapters.paths import hash_model

    header, _ = file_format.read(file)
    assert (header.kphotoz, header.keras) == (__version__, keras.__version__)
    assert header.base_hash == hash_model(base)
    assert header.batch_norm == "adapt_statistics"
    assert [p.path for p in header.normalisations] == ["stem_norm"]
    assert [p.path for p in header.head] == ["head_2"]
    assert [(e.path, e.rank, e.alpha) for e in header.entries] == [
        ("stem", 2, 3.0),
        ("block", 2, 3.0),
        ("head_1", 2, 3.0),
    ]
    # The name of no seed, date or place: equal adapters give equal files.
    assert "seed" not in header.model_dump_json()


def test_saving_twice_gives_equal_bytes(file, trained, tmp_path):
    adapters.save(trained, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_file_stays_whole_when_writing_fails(file, trained, monkeypatch):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disc full")

    before = file.read_bytes()
    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(InputError, match="disc full"):
        adapters.save(trained, file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]

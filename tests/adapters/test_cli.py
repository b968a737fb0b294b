import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from kphotoz import adapters
from kphotoz.adapters import file_format
from kphotoz.errors import InputError
from kphotoz_cli.adapter import command


@pytest.fixture
def files(base, trained, tmp_path):
    (tmp_path / "run").mkdir()
    base.save(tmp_path / "run" / "model.keras")
    adapters.save(trained, tmp_path / "a.safetensors")
    return tmp_path


def _run(*arguments):
    return CliRunner().invoke(
        command, [str(x) for x in arguments], catch_exceptions=False
    )


def test_show_needs_the_file_alone(files):
    result = _run("show", files / "a.safetensors")
    assert result.exit_code == 0
    for word in ("stem", "block", "head_1", "3×3×3×8", "adapt_statistics", "202"):
        assert word in result.output


def test_show_as_json_is_json_only(files):
    described = json.loads(_run("show", files / "a.safetensors", "--json").output)
    assert described["parameters"] == 2 * (45 + 6 + 27 + 8 + 8 + 7)
    assert [e["path"] for e in described["entries"]] == ["stem", "block", "head_1"]


def test_show_counts_what_trains_with_magnitudes_of_dora(base, tmp_path):
    model = adapters.apply(base, rank=2, alpha=3.0, targets="head_1", dora=True)
    adapters.save(model, tmp_path / "a.safetensors")
    described = json.loads(_run("show", tmp_path / "a.safetensors", "--json").output)
    assert described["parameters"] == 2 * (8 + 7) + 7 == adapters.count(model)


@pytest.mark.parametrize("where", ["run", "run/model.keras"])
def test_merge_writes_a_plain_model_with_the_adapted_output(
    files, trained, images, where
):
    out = files / "merged.keras"
    result = _run(
        "merge", files / "a.safetensors", "--base", files / where, "--out", out
    )
    assert result.exit_code == 0
    merged = keras.models.load_model(out)
    np.testing.assert_allclose(merged(images), trained(images), atol=1e-6)


def test_merge_refuses_other_bases_and_other_endings(files):
    adapter = files / "a.safetensors"
    with pytest.raises(InputError, match=".keras"):
        _run("merge", adapter, "--base", files / "run", "--out", files / "m.h5")
    with pytest.raises(InputError, match="Wanted"):
        _run("merge", adapter, "--base", adapter, "--out", files / "m.keras")


def test_show_prints_what_looks_like_markup_as_it_is(files):
    path = files / "a.safetensors"
    header, tensors = file_format.read(path)
    header.entries[0].kind = header.base_hash = header.kphotoz = "[/b]"
    header.entries[0].kernel_hash = "[/red]"
    file_format.write(path, header, tensors)
    shown = _run("show", path).output
    assert shown.count("[/b]") == 3 and "[/red]" in shown


@pytest.mark.parametrize("where", ["run", "run/model.keras"])
def test_merge_does_not_replace_its_base(files, where):
    before = (files / "run" / "model.keras").read_bytes()
    with pytest.raises(InputError, match="other than the input"):
        _run(
            *("merge", files / "a.safetensors", "--base", files / where),
            *("--out", files / "run" / "model.keras"),
        )
    assert (files / "run" / "model.keras").read_bytes() == before

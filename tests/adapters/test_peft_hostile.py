"""PEFT adapters of strangers: patterns that never end, and configurations that nest."""

import json
import time

import numpy as np
import pytest

from kphotoz.adapters import peft_file
from kphotoz.errors import InputError


@pytest.fixture
def folder(tmp_path):
    ones = np.ones((2, 3), "f4")
    factors = {"a" * 40: peft_file.PeftFactors(ones, ones.T.copy(), 4.0)}
    peft_file.write(tmp_path, factors)
    assert peft_file.read(tmp_path)[1].keys() == factors.keys()
    return tmp_path


def _change(folder, **fields):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)+b", "a*a*a*a*a*a*b", "("])
def test_a_pattern_without_end_is_refused_at_once(folder, pattern):
    _change(folder, rank_pattern={pattern: 2})
    begun = time.monotonic()
    with pytest.raises(InputError, match="the pattern"):
        peft_file.read(folder)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("pattern", [r"^a{40}", "a+", r"layers\\.\\d+\\.q"])
def test_usual_patterns_are_read(folder, pattern):
    _change(folder, rank_pattern={pattern: 2})
    assert len(peft_file.read(folder)[1]) == 1


def test_a_configuration_that_nests_is_refused(folder):
    (folder / "adapter_config.json").write_text('{"r": ' + "[" * 100_000)
    with pytest.raises(InputError, match="deeply"):
        peft_file.read(folder)


@pytest.mark.parametrize("alpha", [1e400, float("nan"), -3.0, 0.0])
def test_an_alpha_of_a_pattern_that_cannot_be_is_refused(folder, alpha):
    _change(folder, alpha_pattern={"a+": alpha})
    with pytest.raises(InputError, match="alpha"):
        peft_file.read(folder)


def test_a_rank_of_nothing_is_refused(folder):
    factors = {"a": peft_file.PeftFactors(np.ones((0, 3)), np.ones((3, 0)), 4.0)}
    peft_file.write(folder, factors | {"b": peft_file.read(folder)[1]["a" * 40]})
    _change(folder, r=2, rank_pattern={"a": 0})
    with pytest.raises(InputError, match="whose rank is 0"):
        peft_file.read(folder)

"""Texts of strangers: what grows, nests or runs for ever is refused at once."""

import datetime
import re
import struct
import time
import zipfile
import zlib

import pyarrow
import pytest
import yaml
from astropy.io import fits

from kphotoz.errors import InputError
from kphotoz.untrusted import check_pattern, check_size, damaged, parse_json
from kphotoz.untrusted.yaml_text import parse_yaml

LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS, "aliases make it huge"),
        ("a: &x [*x]", "itself"),
        ("a: " + "[" * 150 + "]" * 150, "nested too deeply"),
        ("[" * 20_000, "nested too deeply"),
        ("a: " + "9" * 5000, "too long"),
        ("a: 0x" + "f" * 9000, "too long"),
        ("a: " + "1:" * 3000 + "1", "too long"),
        ("a: 2001-99-99", "month"),
        ("a: !!int x", "invalid literal"),
        ("a: !!bool maybe", "maybe"),
        ("a: !!timestamp x", "NoneType"),
        ("a: !!binary 'AA=='", "binary"),
        ("a: !!set {b}", "set"),
        ("a: !!python/object/apply:os.system ['touch /tmp/run']", "python/object"),
        ("a: [", "expected"),
    ],
)
def test_yaml_of_a_stranger_is_refused(text, told):
    begun = time.monotonic()
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_yaml(text)
    assert time.monotonic() - begun < 10  # seconds; PyYAML takes 2 for the brackets


def test_honest_yaml_means_what_pyyaml_says():
    text = "base: &b {rank: 4, rates: [1.0e-3, 2]}\nlora: {<<: *b, on: 2026-01-02}\n"
    assert parse_yaml(text) == yaml.safe_load(text)
    assert parse_yaml(text)["lora"][True] == datetime.date(2026, 1, 2)
    assert parse_yaml("") is None
    assert parse_yaml("bands: [y, n]", yaml.BaseLoader) == {"bands": ["y", "n"]}


def test_a_loader_that_runs_code_is_a_bug_of_ours():
    with pytest.raises(TypeError, match="run no code"):
        parse_yaml("a: 1", yaml.UnsafeLoader)


def test_json_of_any_depth_ends():
    assert parse_json('{"a": [1]}') == {"a": [1]}
    with pytest.raises(ValueError, match="deeply"):
        parse_json("[" * 200_000)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", ".*.*.*.*x", "a?a?a?a?", "("])
def test_patterns_that_could_take_for_ever_are_refused(pattern):
    with pytest.raises(ValueError, match="for ever|no regular"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["conv|dense", r"^block\d+/(q|v)$", r".*\.fc1"])
def test_usual_patterns_pass(pattern):
    check_pattern(pattern)


def test_what_deflate_cannot_do_is_refused():
    check_size(10**9, 10**6, "the array")
    check_size(10**7, 0, "a small array")
    for wanted, stored in ((10**9, 10**5), (10**12, 0), (-1, 10)):
        with pytest.raises(ValueError, match=f"the array declares {wanted} bytes"):
            check_size(wanted, stored, "the array")


def test_an_error_is_one_printable_line_whatever_it_shows():
    told = str(InputError("Wanted: a\nReceived: \x1b[2J\ud800\x00 é☃ " + "9" * 9000))
    assert told.isprintable() and len(told) < 2010
    assert told.startswith(r"Wanted: a Received: \x1b[2J\ud800\x00 é☃ 999")


class CfitsioException(Exception):
    """As astropy's compiled code raises it: with no base but Exception."""


@pytest.mark.parametrize(
    "error",
    [
        *(struct.error("a"), zlib.error("a"), zipfile.BadZipFile("a"), KeyError("a")),
        *(fits.VerifyError("a"), pyarrow.ArrowException("a"), CfitsioException("a")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_libraries_raise_on_damage_is_told_with_the_file(error):
    with pytest.raises(InputError, match="Wanted: a table. Received: a.csv, which"):
        with damaged("a.csv", "a table"):
            raise error


def test_bugs_and_our_own_errors_pass_as_they_are():
    for error in (InputError("Wanted: b."), Exception("a bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            with damaged("a.csv", "a table"):
                raise error
        assert caught.value is error
    with pytest.raises(InputError, match="does not exist"):
        with damaged("a.csv", "a table"):
            open("/nowhere/a.csv")

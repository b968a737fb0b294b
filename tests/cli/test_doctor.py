import json
import os
import subprocess
import sys

import keras
import pytest

from kphotoz.errors import InputError
from kphotoz_cli import main


def test_doctor_names_backend_and_devices_in_use(kphotoz):
    found = json.loads(kphotoz("doctor", "--json"))
    assert found["backend"] == keras.backend.backend()
    assert found["devices"]
    assert found["training"].startswith("on 1 of ")
    assert isinstance(found["problems"], list)


def test_doctor_says_that_a_folder_cannot_be_written(kphotoz, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/kphotoz")
    problems = json.loads(kphotoz("doctor", "--json"))["problems"]
    assert any("cannot be written" in p or "GB free" in p for p in problems)


@pytest.mark.parametrize("folder", ["not/there", "", "~/tfds"])
def test_doctor_ends_whatever_the_folder(kphotoz, monkeypatch, folder):
    monkeypatch.setenv("TFDS_DATA_DIR", folder)
    assert "GB free" in json.loads(kphotoz("doctor", "--json"))["data folder"]


def test_devices_are_refused_before_any_work(kphotoz, monkeypatch):
    for words in (("doctor",), ("fit", "--precision=auto", "--out=/proc/none")):
        with pytest.raises(InputError, match="Wanted: --devices from 1 to"):
            kphotoz(*words, "--devices=99")
        with pytest.raises(InputError, match="--process I and --coordinator"):
            kphotoz(*words, "--processes=2", "--process=1")
    monkeypatch.setenv("KPHOTOZ_DEVICES", "98")
    with pytest.raises(InputError, match="Received: 98"):
        kphotoz("doctor")


@pytest.mark.parametrize(("given", "wanted"), [(None, "on"), ("0", "off")])
def test_fast_kernels_are_on_unless_the_user_says_otherwise(
    kphotoz, given, wanted, monkeypatch
):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given or "1")
    if given is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    main.silence()
    assert json.loads(kphotoz("doctor", "--json"))["onednn"] == wanted


def test_backends_are_prepared_before_a_command_is_looked_for(monkeypatch):
    seen = []
    monkeypatch.setattr(main, "silence", lambda: seen.append("prepared"))
    monkeypatch.setattr(main, "group", lambda **_: seen.append("ran"))
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    main.main()
    assert seen == ["prepared", "ran"]


@pytest.mark.parametrize("words", [("doctor",), ("fit", "--out=/proc/none")])
def test_a_backend_that_is_not_installed_is_told_in_one_line(words):
    code = (
        "import sys; sys.modules['jax'] = None\n"  # as if it were not installed
        f"sys.argv = ['kphotoz', *{words!r}, '--backend=jax']\n"
        "from kphotoz_cli.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: Wanted: JAX") and "kphotoz[jax]" in line


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (["adapter", "show", "x" * 300], {}, "Wanted: a path that can be read"),
        (["doctor"], {"KERAS_BACKEND": "torch"}, "KERAS_BACKEND"),
    ],
)
def test_what_the_system_or_keras_refuses_is_one_line(words, variables, told):
    code = "from kphotoz_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and told in done.stderr
    assert done.stderr.count("\n") == 1

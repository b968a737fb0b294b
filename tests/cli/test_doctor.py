import json
import os
import subprocess
import sys

import keras
import pytest


def test_doctor_names_backend_and_devices_in_use(kphotoz):
    found = json.loads(kphotoz("doctor", "--json"))
    assert found["backend"] == keras.backend.backend()
    assert found["devices"]
    assert isinstance(found["problems"], list)


def test_doctor_says_that_a_folder_cannot_be_written(kphotoz, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/kphotoz")
    problems = json.loads(kphotoz("doctor", "--json"))["problems"]
    assert any("cannot be written" in p or "GB free" in p for p in problems)


@pytest.mark.parametrize(("given", "wanted"), [(None, "on"), ("0", "off")])
def test_fast_kernels_are_on_unless_the_user_says_otherwise(given, wanted):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    code = "from kphotoz_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["onednn"] == wanted

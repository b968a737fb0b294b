import json

import keras


def test_doctor_names_backend_and_devices_in_use(kphotoz):
    found = json.loads(kphotoz("doctor", "--json"))
    assert found["backend"] == keras.backend.backend()
    assert found["devices"]
    assert isinstance(found["problems"], list)


def test_doctor_says_that_a_folder_cannot_be_written(kphotoz, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "/proc/kphotoz")
    problems = json.loads(kphotoz("doctor", "--json"))["problems"]
    assert any("cannot be written" in p or "GB free" in p for p in problems)

"""Damaged and hostile models, adapters and runs: used, or refused in one line."""

import time

import keras
import pytest
import watch
import worker

QUICK = {"adapter": 10, "checkpoint": 12, "keras_file": 3, "peft": 12, "recipe": 2}
QUICK |= {"settings": 3, "run_folder": 2, "comparison": 4}


def test_hostile_models_are_used_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    # In this process: another would first import the backend.
    for name, count in QUICK.items():
        target = worker.Target(name, tmp_path / name)
        for number in range(count):
            begun = time.monotonic()
            outcome = target.outcome(number)
            assert time.monotonic() - begun < watch.SECONDS
            found.append((f"{name}:{number}", 0, outcome))
    assert not watch.wrong(found)
    assert {outcome for _, _, outcome in found} == {"used", "refused"}


@pytest.mark.large
@pytest.mark.parametrize("target", list(worker.stores.TARGETS))
def test_all_hostile_models_are_used_or_refused_in_one_line(target, check):
    share = 1 if keras.backend.backend() == "tensorflow" else 5
    check(target, worker.stores.TARGETS[target][1] // share)

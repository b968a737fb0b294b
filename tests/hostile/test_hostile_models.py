"""Damaged and hostile models, adapters and runs: used, or refused in one line."""

import time

import keras
import pytest
import watch
import worker

QUICK = {"adapter": 10, "checkpoint": 12, "keras_file": 3, "peft": 12, "recipe": 2}
QUICK |= {"settings": 3, "run_folder": 2, "comparison": 4}


class Here:
    """Uses targets in this process: another would first import the backend."""

    def __init__(self, names, folder):
        self._targets = {name: worker.Target(name, folder / name) for name in names}
        self.files = {name: target.files for name, target in self._targets.items()}
        self.good = {
            name: {file: (folder / name / file).read_bytes() for file in files}
            for name, files in self.files.items()
        }
        self._folder = folder

    def use(self, name, file, content):
        path, begun = self._folder / name / file, time.monotonic()
        path.write_bytes(content)
        outcome = self._targets[name].outcome()
        path.write_bytes(self.good[name][file])
        seconds = time.monotonic() - begun
        return watch.Found(
            0, outcome if seconds < watch.SECONDS else f"{seconds:.0f} s"
        )


def test_hostile_models_are_used_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taken, here = set(), Here(QUICK, tmp_path)
    for name, count in QUICK.items():
        found = watch.check(name, count, here, tmp_path)
        taken |= {one.outcome for one in found.values()}
    assert taken == {"used", "refused"}


@pytest.mark.large
@pytest.mark.parametrize("target", list(worker.stores.TARGETS))
def test_all_hostile_models_are_used_or_refused_in_one_line(target, check):
    share = 1 if keras.backend.backend() == "tensorflow" else 5
    check(target, worker.stores.TARGETS[target][1] // share)

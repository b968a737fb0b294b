import dataclasses
import json
import os

import keras
import numpy as np
import pytest

from kphotoz import recipes
from kphotoz.comparison import base_cache
from kphotoz.regimes import regime
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.run_regime import Result
from kphotoz.training import environment
from kphotoz.training.settings import Training

HISTORY = [{"epoch": 1, "loss": 0.1, "nmad": 1 / 3}]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KPHOTOZ_CACHE", str(tmp_path))
    return tmp_path / "bases"


@pytest.fixture
def experiment(make_catalog):
    return opened(make_catalog)


def opened(make_catalog, seed=0, **overlay):
    splits = {n: make_catalog(6, seed + i) for i, n in enumerate(("train", "test"))}
    splits["validation"] = make_catalog(4, seed + 9)
    return Experiment(recipes.load(overlay=overlay), splits, splits)


class Trained:
    """Counts its calls; every call returns a network of its own."""

    def __init__(self):
        self.calls = 0

    def __call__(self, *_, **__):
        self.calls += 1
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.layers[0].set_weights([np.full((2, 1), self.calls), np.zeros(1)])
        return Result(model, None, HISTORY, 0.25, {"seconds": 9.0})


def kept(train, experiment, seed=0, settings=None):
    settings = settings or Training()
    return base_cache.kept(
        train, regime.base(), experiment, seed=seed, settings=settings
    )


def test_what_was_trained_comes_back_with_its_cost(experiment):
    train = Trained()
    first, again = kept(train, experiment), kept(train, experiment)
    assert train.calls == 1
    assert (first.cost["reused"], again.cost["reused"]) == (False, True)
    assert (again.history, again.score) == (HISTORY, 0.25)
    assert again.cost["seconds"] == 9.0
    weight = keras.ops.convert_to_numpy(again.model.weights[0])
    np.testing.assert_array_equal(weight, np.ones((2, 1)))


def test_whatever_decides_about_a_base_is_looked_at(
    experiment, make_catalog, monkeypatch
):
    train = Trained()
    kept(train, experiment)
    kept(train, experiment, seed=1)
    kept(train, experiment, settings=Training(learning_rate=0.5))
    kept(train, opened(make_catalog, seed=3))
    kept(train, opened(make_catalog, label_range=[0.0, 3.5]))
    for fact in ("backend", "precision", "threads", "versions", "hardware"):
        facts = environment.describe() | {fact: "another"}
        with monkeypatch.context() as patch:
            patch.setattr(environment, "describe", lambda seed, facts=facts: facts)
            kept(train, experiment)
    with monkeypatch.context() as patch:
        patch.setattr(base_cache, "_code_hash", lambda: "other code")
        kept(train, experiment)
    assert train.calls == 11
    kept(train, experiment)
    assert train.calls == 11


def test_one_changed_value_of_an_input_is_another_sample(make_catalog):
    sample, other = make_catalog(5), make_catalog(5)
    assert sample.content_hash == other.content_hash
    changed = make_catalog(5)
    ((store, _),) = changed._parts
    store.inputs[-1, 0] = np.nextafter(store.inputs[-1, 0], np.inf)
    assert changed.content_hash != sample.content_hash


@pytest.mark.parametrize(
    "change", [{"metadata": {"zero_point": [27.0] * 3}}, {"kind": "image"}]
)
def test_inputs_that_mean_something_else_are_another_sample(make_catalog, change):
    sample, other = make_catalog(5), make_catalog(5)
    ((store, _),) = other._parts
    store.info = dataclasses.replace(store.info, **change)
    assert other.content_hash != sample.content_hash


def test_a_base_of_another_user_is_used_as_well(experiment, cache, monkeypatch):
    train = Trained()
    kept(train, experiment)

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr("os.utime", refuse)
    assert kept(train, experiment).cost["reused"]


@pytest.mark.parametrize("name", ["model.keras", "result.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"half"])
def test_a_damaged_entry_is_trained_again_and_replaced(
    experiment, cache, name, content
):
    train = Trained()
    kept(train, experiment)
    (entry,) = cache.iterdir()
    (entry / name).unlink()
    if content is not None:
        (entry / name).write_bytes(content)
    kept(train, experiment)
    assert kept(train, experiment).cost["reused"] and train.calls == 2
    assert list(cache.iterdir()) == [entry]


@pytest.mark.parametrize(
    "changed", [{"history": 3}, {"history": ["x"]}, {"score": "x"}, {"cost": [1]}]
)
def test_facts_of_another_kind_are_not_believed(experiment, cache, changed):
    train = Trained()
    kept(train, experiment)
    (path,) = cache.glob("*/result.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    assert kept(train, experiment).history == HISTORY and train.calls == 2


def test_what_was_used_longest_ago_makes_room(experiment, cache, monkeypatch):
    train = Trained()
    ages = {}
    for seed in range(3):
        before = set(cache.iterdir()) if seed else set()
        kept(train, experiment, seed=seed)
        (new,) = set(cache.iterdir()) - before
        os.utime(new, (seed, seed))
        ages[seed] = new
    kept(train, experiment, seed=0)  # used now
    size = sum(file.stat().st_size for file in ages[0].iterdir())
    monkeypatch.setattr(base_cache, "_LIMIT", 2.5 * size)
    kept(train, experiment, seed=3)
    assert ages[0].exists() and not (ages[1].exists() or ages[2].exists())


def test_a_folder_that_cannot_be_written_to_is_done_without(experiment, monkeypatch):
    monkeypatch.setenv("KPHOTOZ_CACHE", "/proc/kphotoz")
    train = Trained()
    kept(train, experiment), kept(train, experiment)
    assert train.calls == 2


@pytest.mark.parametrize(
    ("name", "value", "folder"),
    [
        ("KPHOTOZ_CACHE", "off", "None"),
        ("KPHOTOZ_CACHE", "/a", "/a/bases"),
        ("XDG_CACHE_HOME", "/b", "/b/kphotoz/bases"),
        ("HOME", "/c", "/c/.cache/kphotoz/bases"),
    ],
)
def test_folder_is_the_users_choice(monkeypatch, name, value, folder):
    for other in ("KPHOTOZ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert str(base_cache.folder()) == folder

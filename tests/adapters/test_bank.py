"""Adapters in a bank against models that each load one adapter alone."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError

SHAPE = (6, 5, 4)
OPTIONS = {"rank": 2, "alpha": 3.0, "targets": "conv|hidden", "train_also": "head"}


@keras.saving.register_keras_serializable(package="kphotoz_bank_tests")
class Subclassed(keras.Model):
    """The graph of `functional` without a graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps()

    def call(self, x, training=None):
        for step in self.steps:
            x = step(x, training=training) if "norm" in step.name else step(x)
        return x


def steps():
    return [
        keras.layers.Conv2D(8, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(8, activation="tanh", name="hidden"),
        keras.layers.Dense(2, name="head"),
    ]


def functional():
    return keras.Sequential([keras.Input(SHAPE), *steps()])


def subclassed():
    model = Subclassed(name="sub")
    model(np.zeros((1, *SHAPE), "float32"))
    return model


@pytest.fixture(params=[functional, subclassed], ids=["graph", "subclassed"])
def base(request):
    keras.utils.set_random_seed(1)
    return request.param()


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, *SHAPE)).astype("float32")


def disturb(model, seed):
    """Moves everything that an adapter file holds."""
    rng = np.random.default_rng(seed)
    for v in model.weights:
        if "lora" in v.name or "/head" in f"/{v.path}" or "moving_mean" in v.name:
            v.assign(np.asarray(v) + rng.normal(0, 0.3, v.shape).astype("float32"))
    return model


@pytest.fixture
def files(base, tmp_path):
    """Files of three adapters of one base."""
    found = {}
    for seed, name in enumerate(("one", "two", "three")):
        model = adapters.apply(base, batch_norm="adapt_statistics", **OPTIONS)
        found[name] = tmp_path / f"{name}.safetensors"
        adapters.save(disturb(model, seed), found[name])
    return found


def call(model, x):
    return np.array(keras.ops.convert_to_numpy(model(x)))


def alone(base, files, x):
    return {name: call(adapters.load(base, path), x) for name, path in files.items()}


def test_each_adapter_gives_what_it_gives_alone(base, files, x):
    wanted, bank = alone(base, files, x), adapters.AdapterBank(base, files)
    assert bank.names == ["one", "two", "three"] and bank.active == "one"
    for name in ("two", "three", "one", "two"):
        bank.set_active(name)
        np.testing.assert_array_equal(call(bank.model, x), wanted[name])
    assert not np.allclose(wanted["one"], wanted["two"], atol=1e-2)
    bank.delete("three")
    assert bank.names == ["one", "two"]


def test_what_the_active_adapter_learns_is_kept(base, files, x):
    bank = adapters.AdapterBank(base, files)
    disturb(bank.model, 9)
    learned = call(bank.model, x)
    bank.set_active("two")
    bank.set_active("one")
    np.testing.assert_array_equal(call(bank.model, x), learned)


def test_an_exchange_traces_nothing_anew(base, files, x):
    bank, count = adapters.AdapterBank(base, files), []

    class Counting(keras.losses.Loss):
        def call(self, y_true, y_pred):
            count.append(1)  # runs while a step is traced, and never after
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    bank.model.compile(keras.optimizers.SGD(1e-3), Counting())
    y = np.zeros((6, 2), "float32")
    bank.model.train_on_batch(x, y)
    bank.model.train_on_batch(x, y)
    traced = len(count)
    for name in ("two", "three"):
        bank.set_active(name)
        bank.model.train_on_batch(x, y)
    assert len(count) == traced


def test_disabled_adapters_leave_the_base_bit_for_bit(base, files, x, tmp_path):
    bank, wanted = adapters.AdapterBank(base, files), call(base, x)
    before = bank.model.get_weights()
    with pytest.raises(KeyError), bank.disabled() as model:
        np.testing.assert_array_equal(call(model, x), wanted)
        with bank.disabled():
            np.testing.assert_array_equal(call(model, x), wanted)
        for act in (
            lambda: bank.set_active("two"),
            lambda: bank.merge({"one": 1.0}),
            lambda: bank.predict(x, ["one"] * 6),
            lambda: adapters.save(bank.model, tmp_path / "neutral.safetensors"),
        ):
            with pytest.raises(InputError, match="outside of merged"):
                act()
        raise KeyError
    for old, new in zip(before, bank.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weighted_merge_is_the_weighted_sum_of_kernels(base, files, x):
    weights = {"one": 0.3, "three": 0.7}
    plain = adapters.AdapterBank(base, files).merge(weights)
    merged = {
        name: adapters.merge(adapters.load(base, files[name])) for name in weights
    }
    for number, value in enumerate(plain.get_weights()):
        parts = {name: m.get_weights()[number] for name, m in merged.items()}
        wanted = sum(w * parts[name] for name, w in weights.items())
        np.testing.assert_allclose(value, wanted, atol=1e-6)
    assert not adapters.count(plain)


def test_rows_are_predicted_by_their_own_adapters_in_their_order(base, files, x):
    wanted, bank = alone(base, files, x), adapters.AdapterBank(base, files)
    names = ["two", "", "one", "two", None, "three"]
    found = bank.predict(x, names, batch_size=2)
    for row, name in enumerate(names):
        rows = wanted[name] if name else call(base, x)
        np.testing.assert_allclose(found[row], rows[row], atol=2e-6)
    with pytest.raises(InputError, match="'four' in row 2"):
        bank.predict(x, ["two", "", "four", "two", None, "three"])
    for wrong in (["two", ""], "two"):
        with pytest.raises(InputError, match="names for 6 rows"):
            bank.predict(x, wrong)
    with pytest.raises(InputError, match="one or more rows"):
        bank.predict(x[:0], [])


def test_what_cannot_be_used_is_told(base, files, tmp_path):
    bank = adapters.AdapterBank(base, files)
    other = adapters.apply(
        base, batch_norm="adapt_statistics", **(OPTIONS | {"rank": 1})
    )
    with pytest.raises(InputError, match=r"rank \[2, 2\].*\[1, 1\] in 'four'"):
        bank.add("four", other)
    with pytest.raises(InputError, match="one of one, two, three"):
        bank.add("two", files["one"])
    with pytest.raises(InputError, match="not active"):
        bank.delete("one")
    with pytest.raises(InputError, match="Wanted: an adapter of one, two"):
        bank.set_active("four")
    for weights in ({}, {"one": np.nan}, {"one": 1.0, "two": -1.0}):
        with pytest.raises(InputError, match="finite weights"):
            bank.merge(weights)
    broken = adapters.load(base, files["one"])
    hidden = [v for v in broken.trainable_variables if v.name == "lora_b"][0]
    hidden.assign(np.full(hidden.shape, np.nan))
    with pytest.raises(InputError, match="finite factors"):
        bank.add("broken", broken)
    with adapters.merged(bank.model), pytest.raises(InputError, match="outside of"):
        bank.set_active("two")
    with pytest.raises(InputError, match="at least one"):
        adapters.AdapterBank(base, {})


@pytest.mark.parametrize("settings", [{}, {"dora": True}, {"start": "pissa"}])
def test_merging_in_place_and_back_keeps_every_bit(base, x, settings):
    model = adapters.apply(base, 2, **settings)
    rng = np.random.default_rng(3)
    for variable in model.trainable_variables:
        noise = rng.normal(0, 0.2, variable.shape).astype("float32")
        variable.assign(np.asarray(variable) + noise)
    wanted, before = call(model, x), model.get_weights()
    with pytest.raises(KeyError), adapters.merged(model) as same:
        assert same is model
        np.testing.assert_allclose(call(model, x), wanted, atol=5e-6)
        assert not any(np.asarray(v).any() for v in model.weights if v.name == "lora_b")
        raise KeyError
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_unmerging_gives_the_base_bit_for_bit(base):
    model = adapters.apply(base, 2, targets="conv|hidden")
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.3, "float32"))
    plain = adapters.unmerge(model)
    for old, new in zip(base.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not adapters.count(plain)
    trained = adapters.apply(base, batch_norm="freeze", **OPTIONS)
    untouched = adapters.unmerge(trained)
    for old, new in zip(base.get_weights(), untouched.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    disturb(trained, 5)
    with pytest.raises(InputError, match="head moved"):
        adapters.unmerge(trained)

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError


def _nudge(variable):
    variable.assign(variable + 1.0)


@pytest.fixture
def model(base):
    return adapters.apply(base, 1)


def _move(model, *endings):
    for variable in model.trainable_weights:
        if variable.path.endswith(endings):
            _nudge(variable)


def test_snapshot_has_every_weight_of_any_model(base):
    assert list(adapters.snapshot(base)) == [v.path for v in base.weights]


def test_moved_factors_and_nothing_else_pass(model):
    before = adapters.snapshot(model)
    _move(model, "lora_b")
    adapters.check_moved(before, model, steps=1)
    with pytest.raises(InputError, match="3 unmoved, first stem/lora_a"):
        adapters.check_moved(before, model, steps=2)
    _move(model, "lora_a")
    adapters.check_moved(before, model, steps=2)


def test_changed_frozen_weight_is_named(model):
    before = adapters.snapshot(model)
    _nudge(model.get_layer("block").base_kernel)
    assert adapters.frozen_changed(before, model) == ["block/kernel"]
    with pytest.raises(InputError, match="1 changed, first block/kernel"):
        adapters.check_moved(before, model)


@pytest.mark.parametrize(
    "policy,told",
    [("freeze", ["moving_mean"]), ("adapt_statistics", []), ("train", [])],
)
def test_statistics_are_frozen_where_the_policy_says_so(base, policy, told):
    model = adapters.apply(base, 1, batch_norm=policy)
    before = adapters.snapshot(model)
    _nudge(model.get_layer("stem_norm").moving_mean)
    assert adapters.frozen_changed(before, model) == [f"stem_norm/{x}" for x in told]


def test_plain_models_are_checked_too(base):
    for layer in base.layers:
        layer.trainable = layer.name.startswith("head")
    before = adapters.snapshot(base)
    _nudge(base.get_layer("head_1").kernel)
    _nudge(base.get_layer("stem_norm").moving_mean)
    assert adapters.frozen_changed(before, base) == ["stem_norm/moving_mean"]


def test_snapshot_of_another_model_is_refused(base, model):
    with pytest.raises(ValueError, match="a snapshot of this model"):
        adapters.frozen_changed(adapters.snapshot(base), model)


def test_weights_of_one_path_are_told_apart():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="d")])
    outer = keras.Sequential(
        [keras.Input((3,)), model, keras.layers.Dense(3, name="d")]
    )
    outer(np.ones((1, 3), "float32"))
    paths = list(adapters.snapshot(outer))
    assert len(paths) == len(set(paths)) == 4

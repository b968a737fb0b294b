import functools

import keras
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError

Conv2D = functools.partial(keras.layers.Conv2D, kernel_initializer="zeros")


def _paths(choices):
    return [choice.path for choice in choices if not choice.skipped]


def _depthwise():
    layers = [
        keras.layers.DepthwiseConv2D(
            3, depth_multiplier=2, depthwise_initializer="zeros", name="depth"
        ),
        Conv2D(10, 3, groups=10, name="grouped"),
        Conv2D(12, 3, name="conv"),
    ]
    return keras.Sequential([keras.Input((9, 9, 5)), *layers])


def test_default_targets_are_all_convolutions_and_linears_that_gain(base):
    choices = adapters.plan(base, rank=2)
    assert _paths(choices) == ["stem", "block", "head_1"]
    skipped = [choice for choice in choices if choice.skipped]
    # 7 -> 1 at rank 2: 2 * (7 + 1) = 16 parameters against 7.
    assert [(c.path, c.parameters, c.kernel_parameters) for c in skipped] == [
        ("head_2", 16, 7)
    ]


def test_named_layer_with_too_big_an_adapter_is_refused_with_both_counts(base):
    with pytest.raises(InputError, match="head_2.* 16 parameters.* has 7"):
        adapters.plan(base, rank=2, targets="head_2")


def test_too_big_an_adapter_is_accepted_on_request(base):
    choices = adapters.plan(base, rank=2, targets="head_2", allow_full_rank=True)
    assert _paths(choices) == ["head_2"]


def test_depthwise_is_skipped_by_default_and_refused_by_name_with_both_counts():
    model = _depthwise()
    assert _paths(adapters.plan(model, rank=1)) == ["conv"]
    # Each of 5 channels needs 3*3 rows of A; B has 5 * 2 columns. Kernel: 3*3*5*2.
    with pytest.raises(InputError, match="depth: .* rank 1 .* 55 param.* has 90"):
        adapters.plan(model, rank=1, targets="depth")
    with pytest.raises(InputError, match="grouped: .* 100 param.* has 90"):
        adapters.plan(model, rank=1, targets="grouped")


def test_targets_that_match_nothing_raise_and_list_what_there_is(base):
    with pytest.raises(InputError, match="'nothing'.*stem, block, head_1, head_2"):
        adapters.plan(base, targets="nothing")


def test_targets_may_be_a_function_of_path_and_layer(base):
    choices = adapters.plan(
        base, 1, lambda path, layer: isinstance(layer, keras.layers.Conv2D)
    )
    assert _paths(choices) == ["stem", "block"]


def test_first_rank_pattern_that_matches_sets_the_rank(base):
    patterns = {"head_1": 3, "head": 4, "^stem$": 5}
    choices = adapters.plan(base, 2, rank_patterns=patterns)
    ranks = {choice.path: choice.rank for choice in choices}
    assert ranks == {"stem": 5, "block": 2, "head_1": 3, "head_2": 4}


def test_fully_trained_layers_get_no_adapter(base):
    assert _paths(adapters.plan(base, 1, train_also="head")) == ["stem", "block"]


@pytest.mark.parametrize("rank", [0, -1, 2.5, "4", None, True])
def test_bad_rank_is_refused_with_wanted_and_received(base, rank):
    with pytest.raises(InputError, match="Wanted: an int.*Received"):
        adapters.plan(base, rank)


def test_rank_above_the_layer_is_refused_by_name(base):
    with pytest.raises(InputError, match="head_1"):
        adapters.plan(base, 100, targets="head_1")
    with pytest.raises(InputError, match="head_1"):
        adapters.plan(base, 100, targets="head_1", allow_full_rank=True)


@pytest.mark.parametrize("where", ["targets", "train_also"])
def test_broken_pattern_is_told_in_one_line(base, where):
    with pytest.raises(InputError, match="regular expression.*'\\('"):
        adapters.plan(base, 1, **{where: "("})


def test_pattern_of_trained_layers_must_match(base):
    with pytest.raises(InputError, match="'tail'.*matches none"):
        adapters.plan(base, 1, train_also="tail")


def test_adapted_and_unbuilt_models_are_refused(base):
    with pytest.raises(InputError, match="Merge them first"):
        adapters.plan(adapters.apply(base, 1))
    with pytest.raises(InputError, match="a built Keras model"):
        adapters.plan(keras.Sequential([keras.layers.Dense(3)]))


def test_constrained_kernel_is_refused_with_its_path():
    dense = keras.layers.Dense(4, kernel_constraint="non_neg", name="tied")
    model = keras.Sequential([keras.Input((5,)), dense])
    with pytest.raises(InputError, match="kernel_constraint.*tied"):
        adapters.plan(model, 1)

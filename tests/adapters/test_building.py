import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.adapters.inventory import adapters_of
from kphotoz.errors import InputError


def _starts(model):
    return {x.path: keras.ops.convert_to_numpy(x.a) for x in adapters_of(model)}


def test_factors_are_a_function_of_seed_and_path(base):
    one, same = (_starts(adapters.apply(base, 1, seed=4)) for _ in range(2))
    other = _starts(adapters.apply(base, 1, seed=5))
    alone = _starts(adapters.apply(base, 1, targets="block", seed=4))
    for path in one:
        np.testing.assert_array_equal(one[path], same[path])
        assert (one[path] != other[path]).any()
    np.testing.assert_array_equal(alone["block"], one["block"])


def test_initializer_is_an_argument_with_its_own_bound(base):
    start = _starts(adapters.apply(base, 5, targets="stem", a_initializer="he_uniform"))
    bound = np.sqrt(6 / (3 * 3 * 5))
    # 225 uniform draws: the largest misses 0.9 of the bound once in 1e10.
    assert 0.9 * bound < np.abs(start["stem"]).max() <= bound


def test_alpha_defaults_to_each_rank(base):
    model = adapters.apply(base, 2, rank_patterns={"stem": 5})
    rows = {row["path"]: row for row in adapters.report(model) if row["rank"]}
    assert [row["alpha"] / row["rank"] for row in rows.values()] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"alpha": "4"}, {"dropout": 1.0}, {"batch_norm": "frozen"}]
)
def test_bad_arguments_are_refused_with_wanted_and_received(base, bad):
    with pytest.raises(InputError, match="Wanted.*Received"):
        adapters.apply(base, 1, **bad)


def test_dropout_reaches_the_layers_of_a_graph(base):
    model = adapters.apply(base, 1, dropout=0.25)
    assert model.get_layer("stem").dropout == 0.25


def test_dropout_is_refused_where_only_kernels_can_be_replaced():
    x = keras.Input((6, 5))
    attention = keras.layers.MultiHeadAttention(2, 4, name="mha")(x, x)
    with pytest.raises(InputError, match="dropout=0.1"):
        adapters.apply(keras.Model(x, attention), 1, dropout=0.1)


def test_only_factors_and_named_layers_train(base):
    model = adapters.apply(base, 1, train_also="head_2")
    names = {v.path for v in model.trainable_weights}
    factors = {f"{p}/lora_{x}" for p in ("stem", "block", "head_1") for x in ("a", "b")}
    assert names == factors | {"head_2/kernel", "head_2/bias"}


def test_a_compiled_base_gives_an_uncompiled_model_and_stays_compiled(base, images):
    base.compile("sgd", "mse", jit_compile=False)
    model = adapters.apply(base, 1)
    assert base.compiled and not model.compiled
    np.testing.assert_array_equal(base(images), model(images))


def test_several_inputs_and_named_outputs_keep_their_names():
    a, b = keras.Input((5,), name="a"), keras.Input((3,), name="b")
    hidden = keras.layers.Concatenate()([a, b])
    outputs = {
        "z": keras.layers.Dense(4, name="dz")(hidden),
        "t": keras.layers.Dense(6, name="dt")(hidden),
    }
    base = keras.Model({"a": a, "b": b}, outputs)
    x = {"a": np.ones((2, 5), "float32"), "b": np.full((2, 3), 2, "float32")}
    for compiled in (False, True):
        if compiled:
            base.compile("sgd", {"z": "mse", "t": "mse"})
        new = adapters.apply(base, 1)(x)
        assert set(new) == {"z", "t"}
        np.testing.assert_array_equal(new["t"], base(x)["t"])


def test_a_layer_used_twice_stays_one_layer():
    shared = keras.layers.Dense(5, name="shared")
    x = keras.Input((5,))
    base = keras.Model(x, shared(shared(x)))
    model = adapters.apply(base, 1)
    assert adapters.count(model) == 1 * (5 + 5)
    assert len(model.trainable_weights) == 2

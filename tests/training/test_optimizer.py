"""Single steps against numpy; that the decay is coupled is a guarantee of its own."""

import keras
import numpy as np
import pytest

from kphotoz.adapters.paths import value
from kphotoz.training import optimizer
from kphotoz.training.schedule import rate_of
from kphotoz.training.settings import Training

START = {"kernel": [[0.5, -2.0], [1.0, 0.25]], "bias": [1.0, -1.0]}
START_TABLE = np.arange(1.0, 7.0).reshape(3, 2)
GRADIENT = {"kernel": [[3.0, 0.0], [0.0, 4.0]], "bias": [12.0, 0.0]}  # norms 5 and 12


def test_decoupled_decay_shrinks_kernels_and_spares_biases():
    settings = Training(learning_rate=0.1, weight_decay=0.5, schedule="constant")
    weights = [keras.Variable(np.float32(v), name=k) for k, v in START.items()]
    nothing = [keras.ops.zeros(weight.shape) for weight in weights]
    optimizer.build(settings, 10).apply(nothing, weights)
    kernel, bias = map(keras.ops.convert_to_numpy, weights)
    np.testing.assert_allclose(kernel, 0.95 * np.array(START["kernel"]), rtol=1e-6)
    np.testing.assert_array_equal(bias, START["bias"])


@pytest.mark.parametrize("kind", ["adamw", "adam_l2"])
def test_clipping_by_weight_and_by_all_together_differ_as_by_hand(kind):
    # With weight decay 0 and a large epsilon a step is nearly rate / epsilon * g, so
    # that the clipped gradient shows: 5 and 12 give 13 together.
    moves = {}
    for scope in ("variable", "global"):
        settings = Training(
            optimizer=kind, clip_scope=scope, schedule="constant", weight_decay=0.0
        )
        rule = optimizer.build(settings, 10)
        rule.epsilon, rule.beta_1 = 1e6, 0.0
        weights = [keras.Variable(np.zeros_like(v, "float32")) for v in START.values()]
        rule.learning_rate = 1e6
        given = [keras.ops.convert_to_tensor(np.float32(g)) for g in GRADIENT.values()]
        rule.apply(given, weights)
        moves[scope] = [-keras.ops.convert_to_numpy(weight) for weight in weights]
    # AdamW's epsilon stands beside an uncorrected v: smaller by sqrt(1 - 0.999).
    factor = np.sqrt(0.001) if kind == "adamw" else 1.0
    for scope, scales in (("variable", (1 / 5, 1 / 12)), ("global", (1 / 13, 1 / 13))):
        for move, gradient, scale in zip(
            moves[scope], GRADIENT.values(), scales, strict=True
        ):
            wanted = factor * scale * np.array(gradient)
            np.testing.assert_allclose(move, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["adamw", "adam_l2"])
def test_averages_stand_beside_the_weights_until_asked_for(kind):
    rule = optimizer.build(
        Training(optimizer=kind, ema=0.75, schedule="constant", learning_rate=0.1), 10
    )
    weight = keras.Variable(np.float32([1.0]), name="kernel")
    values = []
    for _ in range(2):
        rule.apply([keras.ops.convert_to_tensor(np.float32([1.0]))], [weight])
        values.append(keras.ops.convert_to_numpy(weight)[0])
    rule.finalize_variable_values([weight])
    assert keras.ops.convert_to_numpy(weight)[0] == values[1] < values[0] < 1.0
    rule.write_average([weight])
    # The average begins at the first step's weights.
    average = keras.ops.convert_to_numpy(weight)[0]
    assert average == pytest.approx(0.75 * values[0] + 0.25 * values[1])


@pytest.mark.parametrize("scope", ["variable", "global"])
def test_decoupled_steps_are_those_of_keras(scope):
    settings = Training(learning_rate=0.05, weight_decay=0.2, clip_scope=scope, ema=0.9)
    clip = "clipnorm" if scope == "variable" else "global_clipnorm"
    keras_rule = keras.optimizers.AdamW(
        rate_of(settings, 20), weight_decay=0.2, use_ema=True, ema_momentum=0.9
    )
    setattr(keras_rule, clip, 1.0)
    keras_rule.exclude_from_weight_decay(var_names=["bias"])
    ours, theirs = (
        [keras.Variable(np.float32(v), name=k) for k, v in START.items()] for _ in "ab"
    )
    rule = optimizer.build(settings, 20)
    rng = np.random.default_rng(0)
    for step in range(12):
        # The first gradient is too long to be taken as it is, and one is nothing.
        size = (30.0, 0.0, 0.1)[min(step, 2)]
        found = [size * rng.normal(size=w.shape).astype("float32") for w in ours]
        rule.apply([keras.ops.convert_to_tensor(g) for g in found], ours)
        keras_rule.apply([keras.ops.convert_to_tensor(g) for g in found], theirs)
        for one, two in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(value(one), value(two), rtol=1e-5, atol=1e-6)
    rule.write_average(ours)
    averages = keras_rule._model_variables_moving_average
    for one, two in zip(ours, averages, strict=True):
        np.testing.assert_allclose(value(one), value(two), rtol=1e-5, atol=1e-6)


def test_gradients_of_rows_of_a_table_move_it_as_whole_ones_do():
    """TensorFlow gives the gradient of looked-up rows as slices."""
    rows, results = np.array([1, 1, 0]), []
    for lookup in (True, False):
        table = keras.layers.Embedding(3, 2)
        model = keras.Sequential([keras.Input((3,), dtype="int32"), table])
        if not lookup:
            inputs = keras.Input((3,), dtype="int32")
            one_hot = keras.ops.one_hot(inputs, 3)
            dense = keras.layers.Dense(2, use_bias=False)
            model, table = keras.Model(inputs, dense(one_hot)), dense
        table.set_weights([START_TABLE])
        settings = Training(learning_rate=0.1, schedule="constant")
        rule, jit = optimizer.build(settings, 10), keras.backend.backend() == "jax"
        model.compile(rule, "mse", jit_compile=jit)
        for _ in range(3):
            model.train_on_batch(rows[None], np.zeros((1, 3, 2), "float32"))
        results.append(value(table.weights[0]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
    assert np.abs(results[0] - START_TABLE).min() > 0.01


def test_compiled_steps_are_those_of_single_operations():
    results = []
    for jit in (False, True):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.layers[0].set_weights([np.arange(6.0).reshape(3, 2), np.ones(2)])
        settings = Training(learning_rate=0.1, schedule="constant")
        eager = not jit and keras.backend.backend() == "jax"
        rule = optimizer.build(settings, 10)
        model.compile(rule, "mse", jit_compile=jit, run_eagerly=eager)
        for _ in range(3):
            model.train_on_batch(
                np.float32([[1, -2, 0.5]]), np.zeros((1, 2), "float32")
            )
        results.append(np.concatenate([value(x).ravel() for x in model.weights]))
    np.testing.assert_allclose(*results, rtol=1e-5)
    assert np.abs(results[0] - [*range(6), 1, 1]).min() > 0.1


def test_the_coupled_rule_survives_its_configuration():
    rule = optimizer.AveragedAdamL2(1e-3, l2=0.25, global_clipnorm=2.0)
    again = optimizer.AveragedAdamL2.from_config(rule.get_config())
    assert (again.l2, again.epsilon, again.global_clipnorm) == (0.25, 1e-8, 2.0)

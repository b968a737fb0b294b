"""Single steps against numpy; that the decay is coupled is a guarantee of its own."""

import keras
import numpy as np
import pytest

from kphotoz.training import optimizer
from kphotoz.training.settings import Training

START = {"kernel": [[0.5, -2.0], [1.0, 0.25]], "bias": [1.0, -1.0]}
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


def test_the_coupled_rule_survives_its_configuration():
    rule = optimizer.AveragedAdamL2(1e-3, l2=0.25, global_clipnorm=2.0)
    again = optimizer.AveragedAdamL2.from_config(rule.get_config())
    assert (again.l2, again.epsilon, again.global_clipnorm) == (0.25, 1e-8, 2.0)

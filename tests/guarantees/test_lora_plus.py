"""G24: the learning-rate ratio acts on B only."""

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.errors import InputError

KNOWN = (
    *("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta"),
    *("Lion", "Lamb"),
)


def factors():
    """Returns an A, a B and a head, with gradients."""
    rng = np.random.default_rng(0)
    names = {"lora_a": (5, 2), "lora_b": (2, 7), "kernel": (7, 3)}
    values = {name: rng.normal(size=shape) for name, shape in names.items()}
    variables = [
        keras.Variable(value.astype("float32"), name=name)
        for name, value in values.items()
    ]
    gradients = [rng.normal(size=shape).astype("float32") for shape in names.values()]
    return variables, gradients


def changes(optimizer, steps=1):
    """Returns by how much every variable changes, and the gradients."""
    variables, gradients = factors()
    before = [keras.ops.convert_to_numpy(v).copy() for v in variables]
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    after = [keras.ops.convert_to_numpy(v) for v in variables]
    return [new - old for old, new in zip(before, after, strict=True)], gradients


def test_one_step_of_sgd_by_hand():
    optimizer = adapters.lora_plus(keras.optimizers.SGD(0.01), ratio=8.0)
    (a, b, kernel), gradients = changes(optimizer)
    np.testing.assert_allclose(a, -0.01 * gradients[0], atol=1e-6)
    np.testing.assert_allclose(b, -0.08 * gradients[1], atol=1e-6)
    np.testing.assert_allclose(kernel, -0.01 * gradients[2], atol=1e-6)


def test_two_steps_of_adam_by_formula():
    rate, one, two, epsilon = 0.01, 0.8, 0.95, 1e-7
    optimizer = keras.optimizers.Adam(rate, beta_1=one, beta_2=two)
    received, gradients = changes(adapters.lora_plus(optimizer, ratio=4.0), steps=2)
    for change, g, factor in zip(received, gradients, (1, 4, 1), strict=True):
        m = v = total = 0.0
        for t in (1, 2):
            m, v = one * m + (1 - one) * g, two * v + (1 - two) * g**2
            scale = rate * np.sqrt(1 - two**t) / (1 - one**t)
            total = total - factor * scale * m / (np.sqrt(v) + epsilon)
        np.testing.assert_allclose(change, total, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KNOWN)
def test_b_moves_by_the_ratio_with_every_known_optimizer(name):
    kind = getattr(keras.optimizers, name)
    wanted, _ = changes(kind(1e-3, weight_decay=0.0))
    faster = adapters.lora_plus(kind(1e-3, weight_decay=0.0), ratio=3.0)
    received, _ = changes(faster)
    for change, plain, factor in zip(received, wanted, (1, 3, 1), strict=True):
        np.testing.assert_allclose(change, factor * plain, rtol=1e-3, atol=1e-6)


def test_decay_keeps_the_plain_rate_and_what_was_excluded_stays_so():
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["kernel"])
    plain = [keras.ops.convert_to_numpy(v).copy() for v in factors()[0]]
    received, gradients = changes(adapters.lora_plus(optimizer, ratio=2.0))
    for change, value, g, rate, decay in zip(
        received, plain, gradients, (0.1, 0.2, 0.1), (0.5, 0.5, 0.0), strict=True
    ):
        np.testing.assert_allclose(
            change, -0.1 * decay * value - rate * g, rtol=1e-4, atol=1e-6
        )


def test_schedule_and_settings_are_kept():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    inner = keras.optimizers.SGD(schedule, momentum=0.0, clipnorm=0.5)
    received, gradients = changes(adapters.lora_plus(inner, 2.0), steps=2)
    clipped = [g * min(1, 0.5 / np.linalg.norm(g)) for g in gradients]
    for change, g, factor in zip(received, clipped, (1, 2, 1), strict=True):
        np.testing.assert_allclose(change, -(0.1 + 0.05) * factor * g, atol=1e-6)


def sgd_step(model, images, labels, compile_options, optimizer):
    model.compile(optimizer, **compile_options)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.variables}
    model.train_on_batch(images, labels)
    return {
        v.path: keras.ops.convert_to_numpy(v) - before[v.path]
        for v in model.trainable_variables
    }


@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_model_trains_with_b_faster_and_reloads(kind, kinds, images, compile_options):
    steps = []
    labels = np.random.default_rng(1).normal(size=(4, 2))
    for ratio in (None, 5.0):
        model = adapters.apply(kinds[kind](), 1)
        optimizer = keras.optimizers.SGD(0.01)
        optimizer = adapters.lora_plus(optimizer, ratio) if ratio else optimizer
        changed = sgd_step(model, images, labels, compile_options, optimizer)
        steps.append([x for path, x in changed.items() if path.endswith("lora_b")])
    assert len(steps[0]) > 1
    for plain, faster in zip(*steps, strict=True):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(faster, 5.0 * plain, rtol=1e-3, atol=1e-7)


def test_optimizers_of_training_runs_take_a_ratio():
    from kphotoz.training.optimizer import AveragedAdamL2

    optimizer = AveragedAdamL2(0.01, l2=0.1, use_ema=True)
    faster = adapters.lora_plus(optimizer, 3.0)
    assert isinstance(faster, AveragedAdamL2) and faster.l2 == 0.1
    again = type(faster).from_config(faster.get_config())
    assert (again.ratio, again.l2, again.use_ema) == (3.0, 0.1, True)
    wanted, _ = changes(optimizer)
    received, _ = changes(faster)
    for change, plain, factor in zip(received, wanted, (1, 3, 1), strict=True):
        np.testing.assert_allclose(change, factor * plain, rtol=1e-3)


@pytest.mark.parametrize("ratio", [0, -1.0, float("nan"), float("inf"), "16", True])
def test_ratio_must_be_a_positive_number(ratio):
    with pytest.raises(InputError, match="ratio > 0"):
        adapters.lora_plus(keras.optimizers.SGD(0.1), ratio)


def test_what_cannot_be_wrapped_is_refused():
    with pytest.raises(InputError, match="a Keras optimizer"):
        adapters.lora_plus("adam")
    with pytest.raises(InputError, match="without a LoRA"):
        adapters.lora_plus(adapters.lora_plus(keras.optimizers.SGD(0.1)))
    inner = keras.optimizers.SGD(0.1)
    with pytest.raises(InputError, match="inner optimizer"):
        adapters.lora_plus(keras.optimizers.LossScaleOptimizer(inner))
    changes(inner)
    with pytest.raises(InputError, match="SGD after 1 steps"):
        adapters.lora_plus(inner)


def test_decoupled_decay_of_a_training_run_has_no_ratio():
    from kphotoz.training.optimizer import AveragedAdamW

    moves = []
    for decay in (0.0, 0.5):
        optimizer = AveragedAdamW(0.01, weight_decay=decay, use_ema=True)
        faster = adapters.lora_plus(optimizer, 3.0)
        wanted, _ = changes(optimizer)
        received, _ = changes(faster)
        moves.append((wanted, received))
    (plain, fast), (shrunk, fast_shrunk) = moves
    for change, one, factor in zip(fast, plain, (1, 3, 1), strict=True):
        np.testing.assert_allclose(change, factor * one, rtol=1e-3)
    for one, two, three, four in zip(plain, shrunk, fast, fast_shrunk, strict=True):
        np.testing.assert_allclose(four - three, two - one, rtol=1e-3, atol=1e-6)

import keras
import numpy as np
import pytest

from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop
from kphotoz.training.settings import Training

TASK = RedshiftTask((0.0, 2.0))
SETTINGS = Training(
    epochs=4, batch_size=8, ema=0.9, learning_rate=1e-2, minimum_steps=0
)


class Killed(Exception):
    pass


def network():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.AveragePooling2D(8)(inputs)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(0.3, seed=3)(x)
    x = keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(1))(x)
    outputs = keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(2))(
        x
    )
    return keras.Model(inputs, outputs)


def weights(model):
    return [keras.ops.convert_to_numpy(w.value) for w in model.weights]


def fit(samples, **arguments):
    model = network()
    arguments = {"task": TASK, "settings": SETTINGS, "seed": 5, **arguments}
    return model, loop.train(model, *samples, **arguments)


@pytest.fixture(scope="module")
def samples(make_sample):
    return make_sample(30, 1), make_sample(12, 2)


def test_a_killed_run_resumes_to_the_bits_of_an_undisturbed_one(
    samples, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    whole, expected = fit(samples)

    def kill(line):
        if line.startswith("epoch 3/"):
            raise Killed

    with pytest.raises(Killed):
        fit(samples, checkpoints=tmp_path, log=kill)
    seen = []
    resumed, outcome = fit(samples, checkpoints=tmp_path, log=seen.append)
    assert seen[0].startswith("epoch 3/")  # two epochs were not repeated
    assert outcome.history == expected.history
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_gives_another_order_and_other_weights(samples):
    one, two = fit(samples, seed=1)[0], fit(samples, seed=2)[0]
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(weights(one), weights(two), strict=True)
    )


def test_the_weights_of_the_best_epoch_are_kept(samples):
    model, outcome = fit(samples)
    scores = {row["epoch"]: row["score"] for row in outcome.history}
    assert outcome.best_score == min(scores.values())
    found = TASK.score(loop.predict(model, samples[1]), samples[1].table["redshift"])
    assert found == pytest.approx(scores[outcome.best_epoch], abs=1e-7)


def test_small_samples_take_the_minimum_of_steps_and_are_judged_as_often(make_sample):
    small = make_sample(8, 3)
    settings = Training(epochs=3, batch_size=8, minimum_steps=12)
    _, outcome = fit((small, small), settings=settings)
    assert outcome.examples_seen == 12 * 8
    assert [row["epoch"] for row in outcome.history] == [4, 8, 12]


def test_the_verifier_is_called_after_each_of_the_first_two_steps(samples):
    steps = []
    fit(samples, verify=steps.append)
    assert steps == [1, 2]


def test_verified_and_unverified_training_end_in_the_same_bits(samples):
    plain, checked = fit(samples)[0], fit(samples, verify=lambda step: None)[0]
    for a, b in zip(weights(plain), weights(checked), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_checkpoint_of_another_model_is_refused(samples, tmp_path):
    from kphotoz.errors import InputError

    fit(samples, checkpoints=tmp_path)
    other = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    other.add(keras.layers.Dense(1))
    with pytest.raises(InputError, match="this very model"):
        loop.train(
            other, *samples, task=TASK, settings=SETTINGS, seed=5, checkpoints=tmp_path
        )

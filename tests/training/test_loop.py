import functools

import keras
import numpy as np
import pytest

from kphotoz import adapters
from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop, outputs
from kphotoz.training.schedule import Plateau
from kphotoz.training.settings import Training

TASK = RedshiftTask((0.0, 2.0))
SETTINGS = Training(
    epochs=4, batch_size=8, ema=0.9, learning_rate=1e-2, minimum_steps=0
)
# As published, with everything that a run has to remember beside its weights.
PAPER = SETTINGS.model_copy(
    update={
        "optimizer": "adam_l2",
        "schedule": "plateau",
        "clip_scope": "global",
        "ema": None,
        "score_smoothing": "ema_paper",
        "early_stopping": 20,
        "label_clamp": (0.0, 0.8),
    }
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


@pytest.mark.parametrize("settings", [SETTINGS, PAPER], ids=["ours", "paper"])
def test_a_killed_run_resumes_to_the_bits_of_an_undisturbed_one(
    samples, tmp_path, monkeypatch, settings
):
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)
    # Gives up after one judgement, so that short runs see it act.
    monkeypatch.setattr(Plateau, "PATIENCE", 0)
    monkeypatch.setattr(Plateau, "THRESHOLD", 0.5)
    whole, expected = fit(samples, settings=settings)
    if settings.schedule == "plateau":
        rates = [row["learning_rate"] for row in expected.history]
        assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4])

    def kill(line):
        if line.startswith("epoch 3/"):
            raise Killed

    with pytest.raises(Killed):
        fit(samples, settings=settings, checkpoints=tmp_path, log=kill)
    seen = []
    resumed, outcome = fit(
        samples, settings=settings, checkpoints=tmp_path, log=seen.append
    )
    assert seen[0].startswith("epoch 3/")  # two epochs were not repeated
    assert outcome.history == expected.history
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("checked", [False, True])
def test_the_loss_of_the_first_epoch_is_that_of_all_its_examples(samples, checked):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Flatten()(inputs)
    start = keras.initializers.RandomNormal(0, 0.1, seed=3)
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start)(x))
    z = samples[0].table["redshift"]
    error = (outputs.predict(model, samples[0]) - z) / (1 + z)
    wanted = np.mean(1 - 1 / (1 + (error / 0.15) ** 2))  # Tanaka+2018, equation 7
    still = SETTINGS.model_copy(update={"learning_rate": 1e-12, "loss": "hsc"})
    outcome = loop.train(
        *(model, *samples),
        task=TASK,
        settings=still,
        seed=5,
        verify=(lambda steps: None) if checked else None,
    )
    found = [row["loss"] for row in outcome.history]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def adapted():
    """A network with a convolution and a dense layer in the factored form."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(16, 3, strides=4, name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(1, name="out")(keras.layers.Dense(16, name="dense")(x))
    keras.utils.set_random_seed(1)
    options = {"rank": 2, "seed": 3, "formulation": "factored"}
    return adapters.apply(keras.Model(inputs, outputs), targets="conv|dense", **options)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX takes single steps")
@pytest.mark.parametrize("make", [network, adapted])
def test_steps_taken_together_end_in_the_bits_of_single_ones(
    samples, monkeypatch, make
):
    found = []
    for steps in (3, 1):  # 4 steps an epoch: the last call is shorter
        monkeypatch.setattr(loop.backend, "steps_per_call", lambda _, x=steps: x)
        keras.utils.set_random_seed(0)
        model = make()
        loop.train(model, *samples, task=TASK, settings=SETTINGS, seed=5)
        found.append(weights(model))
    for a, b in zip(*found, strict=True):
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
    found = TASK.score(outputs.predict(model, samples[1]), samples[1].table["redshift"])
    assert found == pytest.approx(scores[outcome.best_epoch], abs=1e-7)


def test_a_limit_of_epochs_for_debugging_keras_ends_no_run(samples):
    keras.config.set_max_epochs(1)
    try:
        _, outcome = fit(samples)
    finally:
        keras.config.set_max_epochs(None)
    assert [row["epoch"] for row in outcome.history] == [1, 2, 3, 4]


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
    with pytest.raises(InputError, match="not this model's"):
        loop.train(
            other, *samples, task=TASK, settings=SETTINGS, seed=5, checkpoints=tmp_path
        )


class Scores(RedshiftTask):
    """A task whose validation scores are told beforehand."""

    scores = (0.9, 0.5, 0.6, 0.4, 0.7, 0.8, 0.9, 0.1)

    @functools.cached_property
    def left(self):
        return iter(self.scores)

    def score(self, z_pred, redshift):
        return next(self.left)


def stopping(samples, **changes):
    settings = PAPER.model_copy(update={"epochs": 8, **changes})
    return fit(samples, settings=settings, task=Scores((0.0, 2.0)))


def test_training_stops_when_so_many_judgements_brought_nothing_better(samples):
    _, outcome = stopping(samples, early_stopping=3, score_smoothing="none")
    assert [row["epoch"] for row in outcome.history] == [1, 2, 3, 4, 5, 6, 7]
    assert (outcome.best_epoch, outcome.best_score) == (4, 0.4)
    assert outcome.examples_seen == 7 * 30


def test_without_patience_every_epoch_is_run(samples):
    _, outcome = stopping(samples, early_stopping=None, score_smoothing="none")
    assert len(outcome.history) == 8 and outcome.best_epoch == 8


def test_the_smoothed_score_chooses_and_stops(samples):
    # Conventional average: it still falls at epoch 4 and rises from epoch 5 on.
    _, outcome = stopping(samples, early_stopping=2, score_smoothing="ema")
    wanted = [0.9]
    for score in Scores.scores[1:]:
        wanted.append(9 / 11 * wanted[-1] + 2 / 11 * score)
    found = [row["smoothed_score"] for row in outcome.history]
    assert found == pytest.approx(wanted[: len(found)])
    assert len(found) == 7 and outcome.best_epoch == 5
    assert outcome.best_score == pytest.approx(wanted[4])


def test_a_run_that_stopped_early_is_not_taken_up_again(samples, tmp_path):
    arguments = {"settings": PAPER.model_copy(update={"early_stopping": 1})}
    arguments |= {"checkpoints": tmp_path, "seed": 5}
    arguments["settings"] = arguments["settings"].model_copy(update={"epochs": 6})
    first = loop.train(network(), *samples, task=Scores((0.0, 2.0)), **arguments)
    assert len(first.history) == 3
    lines = []
    model = network()
    again = loop.train(model, *samples, task=TASK, log=lines.append, **arguments)
    assert lines == [] and again.history == first.history
    assert again.examples_seen == first.examples_seen


def test_training_labels_are_clamped_and_validation_labels_are_not(make_sample):
    samples = make_sample(30, 1), make_sample(12, 2)
    clamped, _ = fit(samples, settings=PAPER)
    cut = make_sample(30, 1)
    cut.table["redshift"] = np.minimum(cut.table["redshift"], 0.8)
    assert (samples[0].table["redshift"] > 0.8).any()
    free = PAPER.model_copy(update={"label_clamp": None})
    for settings, sample, equal in ((free, cut, True), (free, samples[0], False)):
        other, outcome = fit((sample, samples[1]), settings=settings)
        pairs = zip(weights(clamped), weights(other), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == equal
    z = samples[1].table["redshift"]
    assert z.max() > 0.8
    found = TASK.score(outputs.predict(other, samples[1]), z)
    score = next(r for r in outcome.history if r["epoch"] == outcome.best_epoch)
    assert found == pytest.approx(score["score"], abs=1e-6)

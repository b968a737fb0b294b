"""The five traps in the released code of Seenivasan et al. 2026 (arXiv 2601.00146).

Each is there in the published variant and not in the sane one beside it; each test
fails when the published behaviour is undone.
"""

import keras
import numpy as np
import pytest
import yaml

from kphotoz import adapters, recipes, regimes
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.fit import fit
from kphotoz.regimes.run_regime import run
from kphotoz.training import optimizer
from kphotoz.training.progress import Reporter
from kphotoz.training.smoothing import smooth

# The published recipe on a network and sample that a test can afford.
TINY = {
    "model": {
        "name": "small_cnn",
        "batch_norm": True,
        "filters": [3, 4],
        "image_units": 5,
        "image_dropout": 0.0,
        "head_units": [6, 4],
    },
    "training": {"epochs": 2, "batch_size": 12},
    "evaluation": {"windows": [], "draws": 100},
}
RECIPE = recipes.load("lora_photoz_paper", overlay=TINY)
STEPS = 2 * 2


@pytest.fixture(scope="module")
def experiment(make_sample):
    sizes = {"train": 24, "validation": 12, "calibration": 4, "test": 8}
    splits = {
        name: make_sample(size, seed, size=8, tag=name)
        for seed, (name, size) in enumerate(sizes.items())
    }
    return Experiment(RECIPE, splits, splits)


@pytest.fixture(scope="module")
def base(experiment, tmp_path_factory):
    """A run folder with a model whose normalisation knows other images."""
    model = experiment.fresh(experiment.target["train"], 0)
    random = np.random.default_rng(0)
    model.set_weights(
        [w + random.uniform(0.01, 0.05, w.shape) for w in model.get_weights()]
    )
    path = tmp_path_factory.mktemp("base") / "model.keras"
    model.save(path)
    return path.parent


@pytest.fixture(scope="module")
def start(base):
    return values(keras.saving.load_model(base / "model.keras", compile=False))


@pytest.fixture(scope="module")
def runs(experiment, base):
    """Returns a function that runs a regime, once for all tests of this module."""
    known = {}

    def result(name):
        if name not in known:
            regime = regimes.get(name)
            path = base / "model.keras"
            known[name] = run(regime, experiment, seed=1, base=path)
        return known[name]

    return result


def values(model):
    return {
        weight.path: np.array(keras.ops.convert_to_numpy(weight.value))
        for weight in model.weights
        if "seed" not in weight.path
    }


def moved(start, model):
    """Returns {path: largest change} of the weights that are not what they were."""
    after = values(model)
    changes = {path: np.abs(after[path] - start[path]).max() for path in start}
    return {path: change for path, change in changes.items() if change}


def of_norms(changes, *names):
    return {path for path in changes if path.endswith(names)}


def numpy_of(model, images, training):
    return keras.ops.convert_to_numpy(model(images, training=training))


STATISTICS = ("moving_mean", "moving_variance")


def test_trap_1_published_transfer_moves_everything_at_1e_8(runs, start):
    result = runs("transfer_paper")
    changes = moved(start, result.model)
    statistics = of_norms(changes, *STATISTICS)
    weights = {p: change for p, change in changes.items() if p not in statistics}
    trained = result.model.trainable_weights
    assert {w.path for w in trained} == set(start) - of_norms(start, *STATISTICS)
    assert {"stem_conv/kernel", "block1_conv/kernel", "head_redshift/kernel"} <= set(
        weights
    )
    # Adam moves a weight by the rate at most, but for float32's spacing at 1.
    assert 0 < max(weights.values()) <= STEPS * (1e-8 + 1.2e-7)
    # And the drift of the statistics is of another order altogether.
    assert len(statistics) == 4 and min(changes[p] for p in statistics) > 1e-3


def test_trap_1_sane_transfer_leaves_the_trunk_bit_unchanged(runs, start):
    changes = moved(start, runs("transfer").model)
    heads = {p for p in start if p.startswith(("head_", "stem_conv"))}
    assert set(changes) == heads
    assert max(changes.values()) > 1e-4


def test_trap_2_published_adapter_adapts_statistics_and_keeps_them(
    runs, start, base, tmp_path
):
    model = runs("lora_paper").model
    changes = moved(start, model)
    assert set(changes) == of_norms(start, *STATISTICS)
    assert min(changes.values()) > 1e-3
    adapters.save(model, tmp_path / "adapter.safetensors")
    plain = keras.saving.load_model(base / "model.keras", compile=False)
    loaded = values(adapters.load(plain, tmp_path / "adapter.safetensors"))
    for path, value in values(model).items():
        np.testing.assert_array_equal(loaded[path], value, err_msg=path)


def test_trap_2_sane_adapter_freezes_statistics(runs, start):
    assert moved(start, runs("lora").model) == {}


def test_trap_3_average_puts_its_weight_on_the_newest_score(runs):
    # By hand with a = 2/11. Published: a 0.5 + (1 - a) 0.3 = 3.7/11; then with 0.4.
    # Conventional: (1 - a) 0.5 + a 0.3 = 5.1/11.
    average = None
    for score in (0.5, 0.3, 0.4):
        average = smooth(average, score, "ema_paper")
    assert average == pytest.approx(2 / 11 * 3.7 / 11 + 9 / 11 * 0.4, rel=1e-12)
    assert smooth(0.5, 0.3, "ema") == pytest.approx(5.1 / 11, rel=1e-12)
    one, two = runs("lora_paper").history
    wanted = 2 / 11 * one["score"] + 9 / 11 * two["score"]
    assert one["smoothed_score"] == one["score"] != two["score"]
    assert two["smoothed_score"] == pytest.approx(wanted, rel=1e-12)
    best = min(one["score"], wanted)
    assert runs("lora_paper").score == pytest.approx(best, rel=1e-12)


def torch_like(weights, gradients, rate, decay, longest, couple_first=False):
    """Returns what torch's clip_grad_norm_ and Adam(weight_decay=) make of weights."""
    weights = [np.array(w, float) for w in weights]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step, given in enumerate(gradients, start=1):
        given = [np.array(g, float) for g in given]
        if couple_first:  # the wrong order
            given = [g + decay * w for g, w in zip(given, weights, strict=True)]
        norm = np.sqrt(sum((g**2).sum() for g in given))
        given = [g * min(1.0, longest / (norm + 1e-6)) for g in given]
        for i, g in enumerate(given):
            g = g if couple_first else g + decay * weights[i]
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.999 * second[i] + 0.001 * g**2
            spread = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
            weights[i] -= rate * first[i] / (1 - 0.9**step) / spread
    return weights


WEIGHTS = [[[0.5, -2.0], [1.0, 0.25]], [1.0, -1.0, 3.0]]


def stepped(gradients, **changes):
    """Returns the weights after the recipe's optimiser took these steps."""
    changes = {"weight_decay": 0.3, "learning_rate": 0.01} | changes
    rule = optimizer.build(RECIPE.training.model_copy(update=changes), 10)
    weights = [
        keras.Variable(np.float32(w), name=name)
        for w, name in zip(WEIGHTS, ("kernel", "bias"), strict=True)
    ]
    for given in gradients:
        rule.apply([keras.ops.convert_to_tensor(np.float32(g)) for g in given], weights)
    return [keras.ops.convert_to_numpy(weight) for weight in weights]


def test_trap_4_one_step_has_the_closed_form_of_coupled_decay():
    # Without a gradient of the loss Adam normalises the decay: every weight, biases
    # too, moves by the whole rate towards zero; decoupled, it moves by 0.3 rate w.
    nothing = [np.zeros_like(w) for w in map(np.array, WEIGHTS)]
    for found, weight in zip(stepped([nothing]), map(np.array, WEIGHTS), strict=True):
        np.testing.assert_allclose(found, weight - 0.01 * np.sign(weight), atol=2e-7)
    decoupled = stepped([nothing], optimizer="adamw")[0]
    np.testing.assert_allclose(decoupled, np.array(WEIGHTS[0]) * (1 - 0.003), atol=2e-7)


def test_trap_4_steps_are_those_of_torch_with_clipping_before_the_decay():
    random = np.random.default_rng(0)
    shapes = [np.shape(w) for w in WEIGHTS]
    # Norms around 5 and around 0.1: clipped and not.
    gradients = [
        [scale * random.normal(size=shape) for shape in shapes]
        for scale in (2.0, 0.05, 1.0, 3.0, 0.02)
    ]
    found = stepped(gradients)
    arguments = {"rate": 0.01, "decay": 0.3, "longest": 1.0}
    for a, b in zip(found, torch_like(WEIGHTS, gradients, **arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    others = [
        torch_like(WEIGHTS, gradients, couple_first=True, **arguments),
        torch_like(WEIGHTS, gradients, **arguments | {"longest": 1e9}),
        stepped(gradients, optimizer="adamw"),
        stepped(gradients, clip_scope="variable"),
    ]
    for other in others:
        differences = [np.abs(a - b).max() for a, b in zip(found, other, strict=True)]
        assert max(differences) > 1e-4, differences


def test_trap_5_both_dropouts_act_in_training_and_not_in_prediction(runs, experiment):
    images = experiment.target["test"].inputs()
    model = runs("lora_paper").model
    # Up to the image features only the adapters' own dropout is random.
    trunk = keras.Model(model.input, model.get_layer("image_dense").output)
    assert (numpy_of(trunk, images, True) != numpy_of(trunk, images, True)).any()
    dropped = model.get_layer("head_dropout_1")
    ones = np.ones((50, 40), "float32")
    kept = keras.ops.convert_to_numpy(dropped(ones, training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    # Of 2,000 coins; false alarm 1e-5.
    assert abs((kept == 0).mean() - 0.5) < 0.05
    np.testing.assert_array_equal(
        numpy_of(model, images, False), numpy_of(model, images, False)
    )
    # The sane adapter has the regressor's dropout alone.
    plain = runs("lora").model
    trunk = keras.Model(plain.input, plain.get_layer("image_dense").output)
    np.testing.assert_array_equal(
        numpy_of(trunk, images, True), numpy_of(trunk, images, True)
    )


def test_trap_5_both_dropouts_are_recorded_in_the_run_folder(
    experiment, base, tmp_path, monkeypatch
):
    monkeypatch.setattr(Experiment, "open", lambda recipe: experiment)
    fit(
        RECIPE,
        "lora_paper",
        tmp_path / "run",
        base=base,
        seed=1,
        fraction=1.0,
        resume=False,
        reporter=Reporter(quiet=True),
    )
    written = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert written["model"]["head_dropout"] == 0.5
    row = written["overrides"]["lora_paper"]["trainable"]
    assert (row["dropout"], row["batch_norm"]) == (0.1, "adapt_statistics")
    plain = keras.saving.load_model(base / "model.keras", compile=False)
    again = adapters.load(plain, tmp_path / "run" / "adapter.safetensors")
    found = {x.layer.dropout for x in adapters.inventory.adapters_of(again)}
    assert found == {0.1}

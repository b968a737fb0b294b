import sys
import types

import keras
import numpy as np
import pytest

from kphotoz import adapters, regimes
from kphotoz.errors import InputError
from kphotoz.regimes.run_regime import run, settings_of
from kphotoz.training import loop


def weights(model):
    return {
        w.path: np.array(keras.ops.convert_to_numpy(w.value)) for w in model.weights
    }


@pytest.mark.parametrize(
    ("name", "moving"),
    [
        ("linear_probe", {"head_bins", "head_redshift"}),
        ("transfer", {"stem_conv", "head_dense_1", "head_bins", "head_redshift"}),
    ],
)
def test_a_regime_moves_its_layers_and_leaves_all_others_bit_equal(
    experiment, base, name, moving
):
    result = run(regimes.get(name), experiment, seed=1, base=base)
    before = weights(keras.saving.load_model(base, compile=False))
    after = weights(result.model)
    changed = {
        path.split("/")[0]
        for path in before
        if not np.array_equal(before[path], after[path]) and "seed" not in path
    }
    assert changed == moving


def test_zero_shot_predicts_what_the_base_predicts(experiment, base):
    result = run(regimes.get("zero_shot"), experiment, seed=1, base=base)
    sample = experiment.target["test"]
    plain = keras.saving.load_model(base, compile=False)
    expected = plain.predict(sample.inputs(), verbose=0)[:, 0]
    np.testing.assert_allclose(result.predict(sample), expected, atol=1e-5)
    assert result.cost["examples_seen"] == 0


def test_lora_trains_factors_only_and_counts_them(experiment, base):
    result = run(regimes.get("lora"), experiment, seed=1, base=base)
    assert result.cost["trainable_parameters"] == adapters.count(result.model)
    before = weights(keras.saving.load_model(base, compile=False))
    kernels = [w for path, w in before.items() if path.endswith("kernel")]
    rows = [row for row in adapters.report(result.model) if row["rank"]]
    # Every dense and convolutional layer carries an adapter of rank 4.
    assert len(rows) == len(kernels)
    expected = sum(4 * (np.prod(k.shape[:-1]) + k.shape[-1]) for k in kernels)
    assert adapters.count(result.model) == expected


def test_a_frozen_weight_that_moves_stops_the_run(experiment, base):
    from kphotoz.regimes.run_regime import _verify

    model = keras.saving.load_model(base, compile=False)
    model.get_layer("stem_conv").trainable = False
    before = adapters.snapshot(model)
    _verify(before, model, 1)
    kernel = model.get_layer("stem_conv").kernel
    kernel.assign(keras.ops.convert_to_numpy(kernel.value) + 1e-7)
    with pytest.raises(InputError, match="stem_conv"):
        _verify(before, model, 1)


def test_settings_of_a_regime_override_the_recipe(experiment):
    paper = settings_of(
        regimes.get("transfer_paper"), experiment.recipe, learning_rate=0.1
    )
    assert paper.learning_rate == 1e-8
    assert settings_of(regimes.get("full"), experiment.recipe).epochs == 2


def test_unknown_training_settings_are_refused(experiment):
    with pytest.raises(InputError, match="fields of `training`"):
        settings_of(regimes.get("full"), experiment.recipe, learning_rat=0.1)


def test_the_forest_beats_the_mean_redshift(experiment):
    result = run(regimes.get("random_forest"), experiment, seed=0)
    sample = experiment.target["test"]
    z = sample.table["redshift"]
    error = np.abs(result.predict(sample) - z).mean()
    assert error < 0.5 * np.abs(z - z.mean()).mean()


def test_the_seconds_of_a_killed_run_count_in_its_cost(
    experiment, base, tmp_path, monkeypatch
):
    now = [100.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    for module in (loop, sys.modules["kphotoz.regimes.run_regime"]):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loop, "_CHECKPOINT_SECONDS", 0.0)

    def log(line):
        now[0] += 10  # of the two epochs each
        if line.startswith("epoch 2/") and not killed:
            killed.append(line)
            raise KeyboardInterrupt

    killed = []
    options = {"seed": 1, "base": base, "checkpoints": tmp_path, "log": log}
    with pytest.raises(KeyboardInterrupt):
        run(regimes.get("full"), experiment, **options)
    now[0] += 1000  # until somebody resumes it
    for _ in range(2):  # the second time there is nothing left to do
        result = run(regimes.get("full"), experiment, **options)
        assert result.cost["seconds"] == 20

"""Regimes that solve for the last layer."""

import copy
import dataclasses

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from kphotoz import adapters, losses, regimes
from kphotoz.errors import InputError
from kphotoz.regimes import refit
from kphotoz.regimes.run_regime import run


def weights(model):
    return {
        w.path: np.array(keras.ops.convert_to_numpy(w.value))
        for w in model.weights
        if "seed" not in w.path
    }


def changed(before, after):
    return {p.split("/")[0] for p in before if not np.array_equal(before[p], after[p])}


def hsc_loss(z_pred, z):
    return np.mean(1 - 1 / (1 + ((z_pred - z) / (1 + z) / 0.15) ** 2))


@pytest.mark.parametrize("loss", ["robust", "hsc"])
def test_conjugate_kernel_moves_the_last_layer_and_lowers_the_loss(
    experiment, base, loss
):
    chosen = regimes.get("conjugate_kernel", {"training": {"loss": loss}})
    result = run(chosen, experiment, seed=1, base=base)
    plain = keras.saving.load_model(base, compile=False)
    assert changed(weights(plain), weights(result.model)) == {"head_redshift"}
    sample = experiment.target["train"]
    labels = sample.table["redshift"]
    rule = {"robust": losses.RobustLoss, "hsc": losses.HSCLoss}[loss]()
    before, after = (
        float(rule(labels, model.predict(sample.inputs(), verbose=0)))
        for model in (plain, result.model)
    )
    assert after < before
    held = experiment.target["validation"]
    found = hsc_loss(result.predict(held), held.table["redshift"])
    np.testing.assert_allclose(result.score, found, rtol=1e-4)
    assert result.cost["trainable_parameters"] == 33  # 32 bins and a constant
    assert result.cost["examples_seen"] == 48


def too_high(store):
    other = copy.copy(store)
    other.table = store.table | {"redshift": store.table["redshift"] + 0.1}
    return other


@pytest.fixture(scope="module")
def two_truths(experiment, make_sample):
    """An experiment whose source has labels that lie too high."""
    source = {
        name: make_sample(len(sample), seed, tag=f"source {name}").through(too_high)
        for seed, (name, sample) in enumerate(experiment.target.items())
    }
    return dataclasses.replace(experiment, source=source)


@pytest.mark.parametrize("share", [1.0, 0.1, 0.0])
def test_labels_of_the_source_count_as_copies_of_the_target_would(
    two_truths, base, monkeypatch, share
):
    monkeypatch.setattr(refit, "_SHARES", (share,))
    monkeypatch.setattr(refit, "_RIDGES", np.array([1e-6]))
    chosen = regimes.get("conjugate_kernel_combined")
    result = run(chosen, two_truths, seed=1, base=base)
    model = result.model
    below = keras.Model(model.input, model.get_layer("head_redshift").input)
    rows = [
        below.predict(two_truths.training(part)[0].inputs(), verbose=0)
        for part in ("source", "target")
    ]
    labels = [two_truths.training(p)[0].table["redshift"] for p in ("source", "target")]
    loss = two_truths.task.loss("robust")
    layer = model.get_layer("head_redshift").get_weights()
    found = [(x @ layer[0] + layer[1])[:, 0] for x in rows]
    weights = [loss.irls_weights(z, x) for z, x in zip(labels, found, strict=True)]
    weights = np.concatenate([share * weights[0], weights[1]])
    # An independent solver reaches the same fit from the weights at the end.
    plain = keras.saving.load_model(base, compile=False).get_layer("head_redshift")
    kernel, bias = plain.get_weights()
    x = np.concatenate(rows).astype("float64")
    left_over = np.concatenate(labels) - (x @ kernel + bias)[:, 0]
    x = np.column_stack([x, np.ones(len(x))])
    largest = 1 + np.linalg.norm(x[weights > 0, :-1], 2) ** 2
    ridge = Ridge(1e-6 * largest, fit_intercept=False, tol=1e-12)
    moved = ridge.fit(x, left_over, sample_weight=weights).coef_
    wanted = x @ (moved + np.append(kernel, bias))
    np.testing.assert_allclose(np.concatenate(found), wanted, atol=2e-4)


def test_misleading_labels_of_the_source_get_a_small_share(two_truths, base):
    alone = run(regimes.get("conjugate_kernel"), two_truths, seed=1, base=base)
    both = regimes.get("conjugate_kernel_combined")
    both = run(both, two_truths, seed=1, base=base)
    assert both.score <= alone.score + 1e-9  # a share of nothing was tried
    assert both.cost["examples_seen"] == 96


def test_random_probe_needs_no_base_and_moves_the_last_layer_alone(experiment):
    result = run(regimes.get("random_probe"), experiment, seed=1)
    plain = experiment.fresh(experiment.target["train"], 1)
    assert changed(weights(plain), weights(result.model)) == {"head_redshift"}
    assert not regimes.get("random_probe").needs_source


def test_a_refit_after_lora_changes_the_last_layer_of_the_merged_model(
    experiment, base
):
    adapted = run(regimes.get("lora"), experiment, seed=1, base=base)
    result = run(regimes.get("lora+refit"), experiment, seed=1, base=base)
    merged = weights(adapters.merge(adapted.model))
    assert changed(merged, weights(result.model)) == {"head_redshift"}
    assert not adapters.count(result.model)
    assert result.cost["trainable_parameters"] == adapters.count(adapted.model)


@pytest.mark.parametrize("row", ["zero_shot", "random_forest", "conjugate_kernel"])
def test_a_refit_follows_the_training_of_a_network_only(row):
    with pytest.raises(InputError, match="must follow a network's training"):
        regimes.get(f"{row}+refit")


def test_what_is_refitted_takes_the_overrides_of_its_row():
    overrides = {"lora": {"trainable": {"rank": 7}}}
    (regime,) = regimes.select(["lora+refit"], overrides, True)
    assert regime.trainable.rank == 7
    assert (regime.row, regime.finish, regime.keeps_adapter) == ("lora", "refit", False)
    with pytest.raises(InputError, match="none\\+refit|none"):
        regimes.get("none+refit")


def test_overrides_of_a_refit_are_not_dropped_in_silence():
    overrides = {"lora+refit": {"trainable": {"rank": 7}}}
    with pytest.raises(InputError, match="Write overrides.lora\\.$"):
        regimes.select(["lora+refit"], overrides, True)

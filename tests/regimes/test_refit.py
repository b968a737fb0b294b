"""Regimes that solve for the last layer."""

import keras
import numpy as np
import pytest

from kphotoz import adapters, losses, regimes
from kphotoz.errors import InputError
from kphotoz.regimes.run import run


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

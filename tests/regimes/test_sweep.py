"""Variants of regimes over values of their fields."""

import pytest

from kphotoz.errors import InputError
from kphotoz.regimes import select
from kphotoz.regimes.sweep import expand


def regimes(*names):
    return select(names, {}, has_source=True)


def test_combinations_stand_in_place_of_their_regime():
    sweep = {"lora.rank": [2, 8], "lora.learning_rate": [0.1, 0.2]}
    found = expand(regimes("full", "lora", "zero_shot"), sweep, {})
    names = [regime.name for regime in found]
    assert names[0] == "full" and names[-1] == "zero_shot"
    assert names[1:5] == [
        "lora[rank=2,learning_rate=0.1]",
        "lora[rank=2,learning_rate=0.2]",
        "lora[rank=8,learning_rate=0.1]",
        "lora[rank=8,learning_rate=0.2]",
    ]
    assert [regime.trainable.rank for regime in found[1:5]] == [2, 2, 8, 8]
    assert found[2].training == {"learning_rate": 0.2}
    assert found[3].trainable.moves == "lora"


def test_overrides_of_a_recipe_hold_in_every_variant():
    overrides = {"lora": {"trainable": {"alpha": 2.0}, "training": {"epochs": 3}}}
    found = expand(
        select(["lora"], overrides, has_source=True), {"lora.rank": [1, 2]}, overrides
    )
    assert {regime.trainable.alpha for regime in found} == {2.0}
    assert all(regime.training["epochs"] == 3 for regime in found)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"lora": [1]}, "REGIME.FIELD"),
        ({"lorra.rank": [1]}, "lora"),
        ({"lora.rnk": [1]}, "rank"),
        ({"lora.rank": []}, "Received: none"),
        ({"lora.rank": ["four"]}, "integer"),
        ({"lora.rank": [0]}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_swept_is_told(sweep, message):
    with pytest.raises(InputError, match=message):
        expand(regimes("lora"), sweep, {})


@pytest.mark.parametrize(
    ("key", "there"),
    [
        ("from_scratch.rank", "epochs"),
        ("full.targets", "batch_norm"),
        ("random_forest.epochs", "it has none"),
        ("zero_shot.batch_norm", "it has none"),
        ("zero_shot.moves", "it has none"),
        ("full.start", "epochs"),
    ],
)
def test_fields_that_change_nothing_are_refused(key, there):
    """Else equal trainings would stand side by side, as if the field did not matter."""
    everyone = regimes("from_scratch", "full", "random_forest", "zero_shot")
    with pytest.raises(InputError, match=f"{there}.*Received: {key.split('.')[1]}"):
        expand(everyone, {key: [1, 2]}, {})


def test_fields_that_change_something_are_swept():
    sweep = {"full.learning_rate": [0.1, 0.2], "lora.targets": ["conv", "head"]}
    assert len(expand(regimes("full", "lora"), sweep, {})) == 4
    sweep = {"lora.dora": [False, True], "lora.factors": ["zero", "pissa"]}
    sweep |= {"conjugate_kernel.loss": ["hsc", "robust"]}
    assert len(expand(regimes("lora", "conjugate_kernel"), sweep, {})) == 6


def test_a_sweep_without_end_is_refused():
    sweep = {f"lora.{key}": list(range(1, 40)) for key in ("rank", "alpha")}
    with pytest.raises(InputError, match="at most 1000 variants of lora"):
        expand(regimes("lora"), sweep, {})


def test_values_that_are_lists_can_be_told_apart():
    sweep = {"full.label_clamp": [[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]]}
    assert len(expand(regimes("full"), sweep, {})) == 2

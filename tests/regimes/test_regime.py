import pytest
import yaml

from kphotoz import recipes, regimes
from kphotoz.errors import InputError
from kphotoz.regimes.resolved import resolved


def test_every_row_of_the_table_fills_the_four_slots():
    for name in regimes.names():
        regime = regimes.get(name)
        assert regime.description
        assert regime.objective == "none" and regime.finish == "nothing"


def test_an_unknown_regime_names_its_nearest():
    with pytest.raises(InputError, match="Did you mean zero_shot"):
        regimes.get("zeroshot")


def test_overrides_change_a_slot_and_nothing_else():
    plain, changed = (
        regimes.get("lora", overrides)
        for overrides in (None, {"trainable": {"rank": 2}})
    )
    assert changed.trainable.rank == 2
    assert changed.model_copy(update={"trainable": plain.trainable}) == plain


def test_an_override_of_no_slot_is_refused():
    with pytest.raises(InputError, match="four slots"):
        regimes.get("lora", {"rnak": 2})


def test_regimes_that_need_a_source_are_refused_without_one():
    with pytest.raises(InputError, match="zero_shot, lora"):
        regimes.select(["zero_shot", "from_scratch", "lora"], {}, has_source=False)


@pytest.mark.parametrize("name", ["zero_shot", "full"])
def test_labels_without_what_moves_are_refused_and_the_reverse(name):
    slots = {"zero_shot": {"trainable": {"moves": "last"}}, "full": {"data": "nothing"}}
    with pytest.raises(InputError, match="data is nothing exactly where moves is"):
        regimes.select([name], {name: slots[name]}, has_source=True)


def test_a_regime_named_twice_is_run_once():
    chosen = regimes.select(["full", "lora", "full"], {}, has_source=True)
    assert [regime.name for regime in chosen] == ["full", "lora"]


def test_no_regime_at_all_is_refused():
    with pytest.raises(InputError, match="at least one regime"):
        regimes.select([], {}, has_source=True)


def test_normalisation_trains_where_everything_does_and_is_frozen_elsewhere():
    policies = {n: regimes.get(n).trainable.batch_norm for n in regimes.names()}
    train = {n for n, policy in policies.items() if policy == "train"}
    assert {"from_scratch", "transfer_paper", "full", "combined"} <= train
    assert policies["transfer"] == policies["linear_probe"] == "freeze"
    assert policies["lora"] == "freeze"
    chosen = regimes.get("full", {"trainable": {"batch_norm": "freeze"}})
    assert chosen.trainable.batch_norm == "freeze"


def test_a_fresh_network_with_frozen_normalisation_is_refused():
    with pytest.raises(InputError, match="starts fresh"):
        regimes.get("from_scratch", {"trainable": {"batch_norm": "freeze"}})


def test_published_rows_hold_the_published_numbers_and_are_not_searched():
    # Source: specification of seenivasan_2025, sections 3 and 4.
    lora = regimes.get("lora_paper")
    assert (lora.trainable.rank, lora.trainable.alpha) == (4, 16.0)
    assert lora.trainable.dropout == 0.1
    assert lora.trainable.targets is None
    rates = {"lora_paper": 1e-4, "transfer_paper": 1e-8, "combined_paper": 1e-3}
    for name, rate in rates.items():
        regime = regimes.get(name)
        assert regime.training["learning_rate"] == rate and not regime.searched
    fixed = regimes.get("combined_paper").training
    assert fixed["epochs"] == 145 and fixed["early_stopping"] is None


def test_the_base_can_be_overridden_like_a_regime():
    base = regimes.base({"searched": False, "training": {"epochs": 3}})
    assert base.data == "source" and base.trainable.batch_norm == "train"
    assert not base.searched and base.training == {"epochs": 3}
    regimes.select(["full"], {"base": {"searched": False}}, has_source=True)
    with pytest.raises(InputError, match="four slots"):
        regimes.select(["full"], {"base": {"serched": False}}, has_source=True)


def test_overrides_of_regimes_that_are_not_run_are_checked_too():
    with pytest.raises(InputError, match="'lora' with overrides.*rank"):
        regimes.select(["full"], {"lora": {"rank": 3}}, has_source=True)


@pytest.mark.parametrize("slots", [{"trainable": "head"}, {"training": None}])
def test_a_slot_that_holds_no_fields_is_refused_in_one_line(slots):
    with pytest.raises(InputError, match="'lora' with overrides.*four slots"):
        regimes.get("lora", slots)


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("full", {"trainable": {"dropout": 0.3}}),
        ("full", {"trainable": {"rank": 8}}),
        ("random_forest", {"training": {"epochs": 5}}),
        ("conjugate_kernel", {"training": {"learning_rate": 0.1}}),
    ],
)
def test_an_override_without_effect_is_refused(name, slots):
    with pytest.raises(InputError, match=f"a field that changes {name}"):
        regimes.select([name], {name: slots}, has_source=True)


def test_an_override_may_say_what_the_row_says_or_change_what_matters():
    row = regimes.get("full").trainable.model_dump()
    slots = {"full": {"trainable": row, "training": {"epochs": 3}}}
    (found,) = regimes.select(["full"], slots, has_source=True)
    assert found.training == {"epochs": 3}
    slots = {
        "full": {"trainable": {"moves": "lora", "batch_norm": "freeze", "rank": 8}}
    }
    assert regimes.select(["full"], slots, has_source=True)[0].trainable.rank == 8


@pytest.mark.parametrize("moves", ["refit", "lora", "last"])
def test_a_resolved_recipe_of_other_moves_can_be_given_again(moves):
    overrides = {"full": {"trainable": {"moves": moves}}}
    recipe = recipes.load(overlay={"regimes": ["full"], "overrides": overrides})
    chosen = regimes.select(recipe.regimes, recipe.overrides, has_source=True)
    again = yaml.safe_load(recipes.dump(resolved(recipe, chosen)))
    (found,) = regimes.select(["full"], again["overrides"], has_source=True)
    assert found == chosen[0]

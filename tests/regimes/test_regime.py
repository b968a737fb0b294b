import pytest

from kphotoz import regimes
from kphotoz.errors import InputError


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


def test_a_regime_named_twice_is_run_once():
    chosen = regimes.select(["full", "lora", "full"], {}, has_source=True)
    assert [regime.name for regime in chosen] == ["full", "lora"]


def test_no_regime_at_all_is_refused():
    with pytest.raises(InputError, match="at least one regime"):
        regimes.select([], {}, has_source=True)

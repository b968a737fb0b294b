import pytest

from kphotoz import recipes, regimes
from kphotoz.errors import InputError
from kphotoz.regimes.resolved import resolved


def chosen(recipe):
    base = regimes.base(recipe.overrides.get("base"))
    return [base, *regimes.select(recipe.regimes, recipe.overrides, has_source=True)]


@pytest.mark.parametrize("name", ["mock_hsc", "lora_photoz_paper"])
def test_a_resolved_recipe_means_the_same_and_holds_the_defaults(name, tmp_path):
    recipe = recipes.load(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipes.dump(resolved(recipe, chosen(recipe))))
    again = recipes.load(str(path))
    assert chosen(again) == chosen(recipe)
    assert resolved(again, chosen(again)) == again
    for field in ("training", "search", "regimes", "target", "evaluation"):
        assert getattr(again, field) == getattr(recipe, field)
    assert "head_dropout" in again.model
    assert again.overrides["zero_shot"]["trainable"]["moves"] == "nothing"


def test_a_setting_the_architecture_lacks_is_refused():
    recipe = recipes.load(settings=["model.head_dropuot=0.1"])
    with pytest.raises(InputError, match="Did you mean head_dropout"):
        resolved(recipe, [])

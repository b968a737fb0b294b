import pytest
import yaml

from kphotoz import recipes
from kphotoz.errors import InputError


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("profile", [None, "quick", "full"])
def test_every_shipped_recipe_and_profile_is_valid(name, profile):
    assert recipes.load(name, profile=profile).regimes


def test_settings_override_profiles_and_profiles_override_the_recipe():
    recipe = recipes.load(profile="quick", settings=["training.epochs=7"])
    assert recipe.training.epochs == 7
    assert recipe.seeds == 2
    assert recipe.source.options["count"] < recipes.load().source.options["count"]


def test_dump_holds_every_default_and_loads_to_the_same_recipe(tmp_path):
    recipe = recipes.load()
    path = tmp_path / "again.yaml"
    path.write_text(recipes.dump(recipe))
    assert recipes.load(str(path)) == recipe
    assert "clip_norm" in yaml.safe_load(path.read_text())["training"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "mock_hcs"}, "Did you mean mock_hsc"),
        ({"settings": ["training.epoch=3"]}, "Did you mean epochs"),
        ({"settings": ["sedes=3"]}, "Did you mean seeds"),
        ({"settings": ["training.epochs=many"]}, "training.epochs"),
        ({"settings": ["seeds"]}, "--set key=value"),
        ({"settings": ["fractions=[0, 1]"]}, "fractions must lie in (0, 1]"),
        ({"settings": ["label_range=[4, 0]"]}, "low < high"),
        ({"profile": "fulll"}, "Did you mean full"),
    ],
)
def test_wrong_recipes_are_told_in_one_line_with_the_nearest_name(arguments, words):
    with pytest.raises(InputError) as caught:
        recipes.load(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"a: [", b"- 1\n- 2", b"", b"!!python/object:os.system {}"],
)
def test_a_file_that_is_no_recipe_is_refused_and_never_executed(tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError):
        recipes.load(str(path))


def test_a_missing_recipe_file_is_named():
    with pytest.raises(InputError, match="nowhere.yaml"):
        recipes.load("nowhere.yaml")


def test_a_survey_given_on_the_command_line_brings_its_own_options():
    recipe = recipes.load(overlay={"target": {"survey": "cutouts/mine"}})
    assert recipe.target.survey == "cutouts/mine" and recipe.target.options == {}
    assert recipe.source.options["count"] > 0

import pytest
import yaml

from kphotoz import recipes
from kphotoz.errors import InputError


@pytest.mark.parametrize("name", recipes.names())
@pytest.mark.parametrize("profile", [None, "quick", "full"])
def test_every_shipped_recipe_and_profile_is_valid(name, profile):
    assert recipes.load(name, profiles=[profile] if profile else []).regimes


def test_settings_override_profiles_and_profiles_override_the_recipe():
    recipe = recipes.load(profiles=["quick"], settings=["training.epochs=7"])
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
        ({"settings": ["search.learning_rate=[]"]}, "learning_rate needs values"),
        ({"profiles": ["fulll"]}, "Did you mean full"),
    ],
)
def test_wrong_recipes_are_told_in_one_line_with_the_nearest_name(arguments, words):
    with pytest.raises(InputError) as caught:
        recipes.load(**arguments)
    assert words in str(caught.value)


def test_an_empty_mapping_takes_the_place_of_a_full_one():
    assert recipes.load(profiles=["full"]).search
    assert recipes.load(profiles=["full"], settings=["search={}"]).search == {}


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


def test_profiles_combine_in_their_order(tmp_path):
    path = tmp_path / "mine.yaml"
    fields = {
        "title": "t",
        "target": {"survey": "a/b", "options": {"count": 3}},
        "label_range": [0, 1],
        "regimes": ["from_scratch"],
        "profiles": {
            "small": {"target": {"options": {"count": 2}}, "seeds": 2},
            "other": {"target": {"survey": "c/d"}, "seeds": 4},
        },
    }
    path.write_text(yaml.safe_dump(fields))
    assert recipes.load(str(path), profiles=["small"]).target.options == {"count": 2}
    both = recipes.load(str(path), profiles=["small", "other"])
    # The options of one survey say nothing about another.
    assert (both.target.survey, both.target.options) == ("c/d", {})
    assert both.seeds == 4
    with pytest.raises(InputError, match="other.*small|small.*other"):
        recipes.load(str(path), profiles=["smal"])


def test_reversed_recipe_exchanges_surveys_and_keeps_the_deployment_sample():
    recipe = recipes.load()
    other = recipes.reverse(recipe)
    assert (other.source, other.target) == (recipe.target, recipe.source)
    assert recipe.deployment.sample == "source"
    assert other.deployment.sample == "target"
    assert other.published is None
    assert recipes.reverse(other).source == recipe.source
    with pytest.raises(InputError, match="no source"):
        recipes.reverse(recipe.model_copy(update={"source": None}))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("profiles: [quick]", "named fields in profiles"),
        ("profiles: {quick: 3}", "named fields in profile 'quick'"),
        ("target: [a]", "target"),
        ("published: {year: 2001-99-99}", "month"),
        ("published: !!bool maybe", "maybe"),
        ("published: &x [*x]", "itself"),
        ("title: !!python/object/apply:os.system ['true']", "python"),
    ],
)
def test_values_of_odd_types_are_told_in_one_line(tmp_path, line, told):
    path = tmp_path / "mine.yaml"
    shipped = recipes.dump(recipes.load())
    name = line.partition(":")[0]
    kept = yaml.safe_load(shipped) | {"profiles": {"quick": None}}
    kept.pop(name)
    path.write_text(yaml.safe_dump(kept) + line + "\n")
    with pytest.raises(InputError, match=told):
        recipes.load(str(path), profiles=["quick"])


@pytest.mark.parametrize("value", ["2001-99-99", "!!bool maybe", "!!int x", "&x [*x]"])
def test_a_setting_that_is_no_value_is_told(value):
    with pytest.raises(InputError, match="Wanted: a number, word or list"):
        recipes.load(settings=[f"title={value}"])


@pytest.mark.parametrize(
    "published",
    [
        {"rows": 3},
        {"rows": ["zero_shot"]},
        {"rows": [{"regime": "lora"}], "window": {"low": 0.3}},
        {"tables": [{"rows": {"regime": "lora"}}]},
        {"fractions": ["10 %"]},
    ],
)
def test_published_numbers_that_no_page_could_show_are_refused(published):
    with pytest.raises(InputError, match="published"):
        recipes.load(overlay={"published": published})

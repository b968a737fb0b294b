import pytest

from kphotoz import metrics, recipes
from kphotoz.errors import InputError


def load(*settings):
    return recipes.load(settings=settings).evaluation


def test_no_recipe_has_a_window_or_a_grid_unless_it_says_so():
    found = load("evaluation.windows=[]")
    assert found.ranges == (None,) and found.grid is None


def test_windows_name_what_they_cut_on_and_keep_their_order():
    text = "[{on: z_pred, low: 0.3, high: 1.5}, {on: z_true, low: 0, high: 1}]"
    found = load(f"evaluation.windows={text}")
    assert found.ranges == (
        metrics.Window(0.3, 1.5, "z_pred"),
        metrics.Window(0, 1, "z_true"),
    )


def test_strata_are_edges_or_null():
    found = load("evaluation.by={magnitude: [18, 20, 22], g-r: null}")
    assert found.by == {"magnitude": (18, 20, 22), "g-r": None}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("windows=[{low: 0.3, high: 1.5}]", "windows.0.on"),
        ("windows=[{on: z_phot, low: 0.3, high: 1.5}]", "'z_true' or 'z_pred'"),
        ("windows=[{on: z_true, low: 1.5, high: 0.3}]", "low < high"),
        ("windows=[{on: z_true, low: 1, hihg: 2}]", "high"),
        ("windows=[{on: z_true, low: 1, high: 2, hihg: 3}]", "Did you mean high"),
        ("window_z_true=[0.3, 1.5]", "Wanted: one of"),
        ("grid=[4, 0]", "grid needs two or more ascending"),
        ("by.magnitude=[20]", "by.magnitude needs two or more ascending"),
        ("by.magnitude=[18, .nan, 22]", "by.magnitude needs two or more ascending"),
        ("by.group=[1, 2]", "by.group is a column of text"),
        ("metrics=[nmadd]", "metrics must be among"),
        ("headline=mae", "headline must be one of metrics"),
    ],
)
def test_wrong_evaluation_fields_are_told(setting, words):
    with pytest.raises(InputError) as caught:
        load(f"evaluation.{setting}")
    assert words in str(caught.value)

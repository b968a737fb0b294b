import dataclasses

import numpy as np
import pytest

from kphotoz import recipes
from kphotoz.errors import InputError
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.splits import check_disjoint

RECIPE = recipes.load()


@pytest.fixture
def target(make_sample):
    sizes = {"train": 100, "validation": 50, "calibration": 10, "test": 30}
    return {
        name: make_sample(size, seed, tag=name)
        for seed, (name, size) in enumerate(sizes.items())
    }


def ids(sample):
    return set(sample.table["id"])


def test_fractions_are_nested_and_cut_validation_labels_too(target):
    experiment = Experiment(RECIPE, None, target)
    small, large = (experiment.training("target", f, seed=1) for f in (0.5, 0.8))
    assert [len(part) for part in small] == [50, 25]
    for few, many in zip(small, large, strict=True):
        assert ids(few) < ids(many)
    assert experiment.label_count(0.5, 1) == 75
    assert experiment.label_count(None) == 0


def test_fractions_of_other_seeds_are_other_galaxies(target):
    experiment = Experiment(RECIPE, None, target)
    one, two = (experiment.training("target", 0.5, seed)[0] for seed in (1, 2))
    assert ids(one) != ids(two)


def test_validation_keeps_enough_labels_to_choose_an_epoch(target):
    validation = Experiment(RECIPE, None, target).training("target", 0.1, 0)[1]
    assert len(validation) == 20


def test_the_union_holds_both_and_validates_on_the_target(target, make_sample):
    source = {name: make_sample(40, 9, tag=f"s{name}") for name in target}
    experiment = Experiment(RECIPE, source, target)
    train, validation = experiment.training("source+target")
    assert ids(train) == ids(source["train"]) | ids(target["train"])
    assert ids(validation) == ids(target["validation"])


def test_training_objects_in_a_test_set_are_refused(target):
    leaky = {**target, "test": target["train"].select(np.arange(3))}
    with pytest.raises(InputError, match="Wanted"):
        check_disjoint(Experiment(RECIPE, None, leaky).surveys.values())


def test_equal_seeds_start_from_equal_weights(target):
    small = {"name": "small_cnn", "filters": [2, 2], "radii": [1.5, 3.0, 6.0]}
    recipe = recipes.load(overlay={"model": small})
    experiment = Experiment(recipe, None, target)
    one, two, other = (
        experiment.fresh(target["train"], seed).get_weights() for seed in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_deployment_on_a_missing_source_or_truth_is_refused_with_the_remedy(target):
    with pytest.raises(InputError, match="deployment.sample=target"):
        Experiment(RECIPE, None, target)._check_deployment()
    for sample in target.values():
        sample.table["z_true"][:] = np.nan
    with pytest.raises(InputError, match="deployment.truth=label"):
        Experiment(RECIPE, target, target)._check_deployment()


def weighted(monkeypatch, target, splits):
    """Returns the weights of a target that must resemble a survey of these splits."""
    monkeypatch.setattr("kphotoz.data.open_survey", lambda name: splits)
    deployment = {"like": "cutouts/sky", "sample": "target"}
    recipe = recipes.load(overlay={"deployment": deployment})
    experiment = Experiment(recipe, None, target)
    experiment.check([])
    return experiment.deployment_weights


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"bands": ("r", "g", "i")}, r"the bands .*'g', 'r', 'i'.*'r', 'g', 'i'"),
        ({"kind": "catalog"}, "the kind .*'image'.*'catalog'"),
        ({"input_shape": (20, 20, 3)}, "the input_shape .*16, 16, 3.*20, 20, 3"),
        ({"pixel_scale": 0.4}, r"the pixel_scale .*0\.2.*0\.4"),
        ({"unit": "nJy"}, "the unit .*'count'.*'nJy'"),
    ],
)
def test_a_deployment_survey_unlike_the_test_sample_is_refused(
    monkeypatch, make_sample, facts, words
):
    mine, other = {"test": make_sample(15)}, make_sample(5, 1, tag="other")
    splits = {"train": other.select([]), "test": other}  # a split may be empty
    assert weighted(monkeypatch, mine, splits).values.shape == (15,)
    store, rows = other._parts[0]
    store.info = dataclasses.replace(other.info, **facts)
    with pytest.raises(InputError, match=words) as caught:
        weighted(monkeypatch, mine, splits)
    assert "\n" not in str(caught.value) and "--deploy" in str(caught.value)


def duplicated(make_catalog, **columns):
    """Returns splits of a source and a target that share five places and three ids."""
    from kphotoz import data

    ra = np.arange(40.0)
    ids = np.array([f"t{i}" for i in range(40)], object)
    target = make_catalog(40, 1, tag="t", ra=ra, dec=np.zeros(40), id=ids, group=ids)
    places = np.r_[ra[:5] + 0.5 / 3600, np.arange(100.0, 135.0)]
    names = np.array(["t0", "t20", "t39", *(f"s{i}" for i in range(37))], object)
    source = make_catalog(
        40, 2, tag="s", ra=places, dec=np.zeros(40), id=names, group=names
    )
    cuts = dict(zip(data.survey_info.SPLITS, np.split(np.arange(40), 4), strict=True))
    return [{n: s.select(r) for n, r in cuts.items()} for s in (source, target)]


@pytest.mark.parametrize(("match", "count"), [("position", 5), ("id", 3)])
def test_the_targets_entry_of_a_duplicate_wins(make_catalog, match, count):
    from kphotoz.regimes.splits import without_duplicates

    source, target = duplicated(make_catalog)
    rule = recipes.Duplicates(match=match)
    kept, note = without_duplicates(source, target, rule)
    assert sum(map(len, kept.values())) == 40 - count
    assert note.startswith(f"{count} objects")
    strict = recipes.Duplicates(match="position", radius=0.4)
    assert sum(map(len, without_duplicates(source, target, strict)[0].values())) == 40


def test_duplicates_by_position_need_positions(make_catalog):
    from kphotoz.regimes.splits import without_duplicates

    splits = {"train": make_catalog(5, tag="a")}
    with pytest.raises(InputError, match="positions in cataloguea.*duplicates=null"):
        without_duplicates(splits, splits, recipes.Duplicates())


def test_folds_train_without_what_they_test(make_catalog):
    from kphotoz import data

    nothing = np.zeros(0, int)
    splits = []
    for _ in range(2):  # source and target
        sample = make_catalog(150, tag="")  # the same objects in both surveys
        empty = {name: sample.select(nothing) for name in data.survey_info.SPLITS}
        splits.append({**empty, "train": sample})
    recipe = recipes.load(overlay={"folds": 3, "deployment": {"truth": "label"}})
    whole = Experiment(recipe, *splits)
    seen = set()
    for fold in whole.folds:
        check_disjoint(fold.surveys.values())
        train, validation = fold.training("source+target")
        tested = ids(fold.tests()["target"])
        assert not tested & (ids(train) | ids(validation) | seen)
        seen |= tested
    assert seen == ids(splits[1]["train"])
    assert [len(t) for t in whole.tests().values()] == [150, 150]
    order = [i for fold in whole.folds for i in fold.tests()["target"].table["id"]]
    assert order == list(whole.tests()["target"].table["id"])
    assert whole.label_count(1.0) == whole.folds[0].label_count(1.0) > 80


def test_more_folds_than_objects_are_refused_with_the_remedy(make_catalog):
    from kphotoz import data

    sample = make_catalog(8, tag="few")
    empty = sample.select(np.zeros(0, int))
    splits = {**dict.fromkeys(data.survey_info.SPLITS, empty), "train": sample}
    recipe = recipes.load(overlay={"folds": 100, "source": None})
    with pytest.raises(InputError, match="fold .* of 100.*fewer --folds"):
        _ = Experiment(recipe, None, splits).folds


def test_impossible_training_settings_are_told_in_one_line():
    from kphotoz.regimes import select
    from kphotoz.regimes.run_regime import settings_of

    wrong = {"full": {"training": {"epochs": "a", "batch_size": 0}}}
    (regime,) = select(["full"], wrong, has_source=True)
    with pytest.raises(InputError, match="epochs: .*not 'a'; batch_size: .*") as caught:
        settings_of(regime, recipes.load())
    assert "http" not in str(caught.value) and "\n" not in str(caught.value)

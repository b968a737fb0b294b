import numpy as np
import pytest

from kphotoz import data, recipes, regimes
from kphotoz.errors import InputError
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.run_regime import run

RECIPE = recipes.load()
SIZES = {"train": 90, "validation": 50, "calibration": 10, "test": 30}
KIND = "target+degraded"


def splits(make, tag, magnitude):
    """Returns samples of all splits, with magnitudes of the given mean and scatter."""
    found = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        found[name] = make(size, seed, tag=tag + name)
        random = np.random.default_rng(seed)
        drawn = random.normal(magnitude, 0.5, size)
        found[name].table["magnitude"][:] = drawn
        found[name]._parts[0][0].table["magnitude"] = drawn
    return found


@pytest.fixture(params=["image", "catalog"])
def experiment(request, make_sample, make_catalog):
    make = make_sample if request.param == "image" else make_catalog
    target, source = splits(make, "t", 20.0), splits(make, "s", 22.0)
    return Experiment(RECIPE, source, target)


def ids(sample):
    return list(sample.table["id"])


def test_each_kept_object_stands_beside_one_copy_of_itself(experiment):
    plain = experiment.training("target", 0.3, seed=1)
    both = experiment.training(KIND, 0.3, seed=1)
    for one, two in zip(plain, both, strict=True):
        assert ids(two) == ids(one) + [f"{name}-dimmed" for name in ids(one)]
        np.testing.assert_array_equal(
            two.inputs()[: len(one)], one.inputs()
        )  # the target itself is as it was
        for name in ("redshift", "z_true", "group"):
            np.testing.assert_array_equal(two.table[name], np.tile(one.table[name], 2))
    assert [len(part) for part in both] == [2 * 27, 2 * 20]


def test_copies_reach_the_magnitudes_of_the_source(experiment):
    train, validation = experiment.training(KIND)
    # All but the faintest hundredth of target objects find fainter ones to draw from.
    for sample in (train, validation):
        plain, copies = np.split(sample.table["magnitude"], 2)
        assert (copies >= plain).all() and (copies > plain).mean() > 0.95
        assert abs(np.median(copies) - 22.0) < 0.25
        assert np.isin(
            copies[copies > plain], experiment.source["train"].table["magnitude"]
        ).all()


def test_copies_are_made_once_for_all_seeds_and_fractions(experiment):
    whole = experiment.training(KIND)[0]
    part = experiment.training(KIND, 0.5, seed=3)[0]
    assert whole._parts[1][0] is part._parts[1][0]


def test_target_regimes_count_and_see_what_they_did_before(experiment):
    assert experiment.label_count(0.3, 1) == 27 + 20
    for sample in experiment.training("target"):
        assert not any("dimmed" in name for name in ids(sample))


def test_no_copy_of_a_test_object_is_trained_on(experiment):
    for sample in experiment.training(KIND):
        data.check_disjoint(sample, experiment.target["test"])


def test_unknown_magnitudes_are_refused_before_anything_is_trained(make_sample):
    target, source = splits(make_sample, "t", 20.0), splits(make_sample, "s", 22.0)
    for table in (source["train"].table, source["train"]._parts[0][0].table):
        table["magnitude"][:] = np.nan
    with pytest.raises(InputError, match="--key magnitude=NAME"):
        Experiment(RECIPE, source, target).check([regimes.get("augment")])
    Experiment(RECIPE, source, target).check([regimes.get("full")])


def test_augment_needs_a_source_wherever_it_starts():
    fresh = regimes.get("augment", {"trainable": {"start": "fresh"}})
    assert fresh.needs_source and fresh.learns_from_target
    with pytest.raises(InputError, match="augment"):
        regimes.select(["augment"], {}, has_source=False)


def test_augment_moves_every_weight_of_the_base(make_sample, tmp_path):
    model = {"name": "small_cnn", "filters": [4, 4], "radii": [1.5, 3.0, 6.0]}
    model |= {"photometry_units": [8], "head_units": [8], "image_units": 4}
    training = {"epochs": 1, "batch_size": 32, "minimum_steps": 0}
    recipe = recipes.load(overlay={"model": model, "training": training})
    target, source = splits(make_sample, "t", 20.0), splits(make_sample, "s", 22.0)
    experiment = Experiment(recipe, source, target)
    experiment.fresh(source["train"], 0).save(tmp_path / "model.keras")
    result = run(
        regimes.get("augment"), experiment, seed=1, base=tmp_path / "model.keras"
    )
    assert result.cost["examples_seen"] == 2 * SIZES["train"]
    assert np.isfinite(result.predict(experiment.target["test"])).all()

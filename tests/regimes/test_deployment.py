import numpy as np
import pytest

from kphotoz import recipes
from kphotoz.errors import InputError
from kphotoz.regimes.deployment import neighbour_weights
from kphotoz.regimes.experiment import Experiment


def test_weights_approach_the_ratio_of_two_known_densities():
    # Test uniform on [0, 1], deployment with density 2x: the ratio is 2x.
    random = np.random.default_rng(1)
    test = random.uniform(size=(4000, 1))
    deployment = np.sqrt(random.uniform(size=(20000, 1)))
    found = neighbour_weights(test, deployment, neighbours=50)
    inside = (test[:, 0] > 0.05) & (test[:, 0] < 0.95)
    error = found.values[inside] - 2 * test[inside, 0]
    assert abs(error.mean()) < 0.02
    assert error.std() < 0.25  # sqrt(1/50 + 1/250) relative, times at most 2
    assert found.values.mean() == pytest.approx(1)


def test_equal_samples_keep_their_effective_size():
    random = np.random.default_rng(2)
    found = neighbour_weights(
        random.normal(size=(1000, 3)), random.normal(size=(5000, 3))
    )
    # 10 neighbours and 50 deployment objects each scatter the weights by 35 %, which
    # leaves 1 / (1 + 0.35^2) = 0.89 of the sample; edges cost some more.
    assert found.effective_size > 700
    assert found.unsupported < 0.05


def test_deployment_objects_far_from_every_test_object_are_counted():
    random = np.random.default_rng(3)
    test = random.normal(size=(500, 2))
    deployment = np.concatenate([random.normal(size=(75, 2)), np.full((25, 2), 50.0)])
    assert neighbour_weights(test, deployment).unsupported >= 0.25


def test_no_overlap_is_an_error_not_a_number():
    test = np.random.default_rng(4).normal(size=(100, 2))
    with pytest.raises(InputError, match="no overlap"):
        neighbour_weights(test, np.full((10, 2), 99.0))


def test_too_few_test_objects_are_refused():
    with pytest.raises(InputError, match="more than 10"):
        neighbour_weights(np.zeros((10, 1)), np.zeros((10, 1)))


def test_how_deep_a_catalogue_is_decides_no_weight(make_catalog, monkeypatch):
    test, alike, shallow = (make_catalog(200) for _ in range(3))
    shallow._parts[0][0].inputs[..., 1] *= 30
    deployment = {"like": "catalog/other", "sample": "target"}
    recipe = recipes.load(overlay={"deployment": deployment})
    found = []
    for other in (alike, shallow):
        monkeypatch.setattr("kphotoz.data.open_survey", lambda _, x=other: {"test": x})
        found.append(Experiment(recipe, None, {"test": test}).deployment_weights)
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert found[1].unsupported == 0  # the same objects

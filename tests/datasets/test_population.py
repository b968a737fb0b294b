import numpy as np
import pytest
from scipy import special

from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.simulate import population


def incomplete_gamma(slope: float, x: np.ndarray) -> np.ndarray:
    """Returns Gamma(slope + 1, x); below zero by the recurrence in the order."""
    a = slope + 1
    if a > 0:
        return special.gamma(a) * special.gammaincc(a, x)
    return (incomplete_gamma(slope + 1, x) - x**a * np.exp(-x)) / a


@pytest.mark.parametrize("slope", [-0.5, -1.3])
def test_schechter_integral_is_the_incomplete_gamma_function(slope):
    faintest = np.array([1e-3, 0.02, 0.5, 3.0])
    ours = population.schechter_density(slope, faintest)
    np.testing.assert_allclose(ours, incomplete_gamma(slope, faintest), rtol=1e-3)


@pytest.mark.parametrize("one", [population.BLUE, population.RED], ids=["blue", "red"])
def test_luminosities_follow_the_schechter_function(one):
    # False-alarm rate of each comparison: 6e-5 (4 sigma of a binomial).
    draws = population.draw_luminosities(
        one, np.full(40_000, 0.05), np.random.default_rng(3)
    )
    total = incomplete_gamma(one.slope, np.array(0.05))
    assert draws.min() >= 0.05 * 0.999
    for edge in (0.1, 0.4, 1.0, 2.0):
        expected = incomplete_gamma(one.slope, np.array(edge)) / total
        found = (draws > edge).mean()
        spread = np.sqrt(expected * (1 - expected) / len(draws))
        assert abs(found - expected) < 4 * spread, (edge, found, expected)


def field(seed=0, area=0.02, limit=23.0):
    rng = np.random.default_rng(seed)
    return population.draw_field(catalogue._survey_table(), area, limit, rng)


def test_field_is_complete_to_its_limit_and_no_fainter():
    # The same shells drawn deeper hold as many galaxies above the limit: the faintest
    # luminosity drawn in each shell cuts nothing. False-alarm rate 1e-4.
    shallow, deep = field(1, 0.3, 21.0), field(2, 0.3, 23.0)
    assert shallow["magnitude"].max() < 21.05  # the red-sequence change keeps i
    first, second = len(shallow["z"]), (deep["magnitude"] < 21.0).sum()
    assert abs(first - second) < 4 * np.sqrt(first + second), (first, second)


def test_magnitude_is_that_of_the_flux_and_old_light_is_part_of_it():
    galaxies = field()
    expected = 27.0 - 2.5 * np.log10(galaxies["flux"][:, 2])
    np.testing.assert_allclose(galaxies["magnitude"], expected, rtol=1e-12)
    assert (galaxies["old_flux"] <= galaxies["flux"] * (1 + 1e-12)).all()
    assert galaxies["flux"].min() > 0


def test_order_in_a_field_tells_nothing_of_class_or_redshift():
    galaxies = field(seed=4, area=0.05)
    half = len(galaxies["z"]) // 2
    spread = galaxies["z"].std() * np.sqrt(2 / half)
    difference = galaxies["z"][:half].mean() - galaxies["z"][half:].mean()
    assert abs(difference) < 4 * spread
    assert abs(np.corrcoef(galaxies["red"], np.arange(len(galaxies["red"])))[0, 1]) < (
        4 / np.sqrt(len(galaxies["red"]))
    )

"""Fluxes from magnitudes: closed forms, SDSS's own example, and what was not seen."""

import numpy as np
import pytest
from astropy import units

from kphotoz.features.photometry import (
    classify,
    from_fluxes,
    from_magnitudes,
    to_magnitudes,
)

NAN = np.nan


def test_pogson_magnitudes_are_ab_flux_densities():
    magnitudes = np.array([[23.9, 18.25, 25.0], [21.4, 30.1, 16.0]])
    found = from_magnitudes(magnitudes, np.full((2, 3), 0.01))
    wanted = (magnitudes * units.ABmag).to_value(units.uJy)
    # 23.9 is 48.6 rounded by a thousandth: 3630.8 Jy against 3631
    np.testing.assert_allclose(found[..., 0], wanted, rtol=5e-4)
    assert found[0, 0, 0] == 1.0 and found.dtype == np.float32
    np.testing.assert_allclose(found[..., 1] / found[..., 0], 0.01 / 1.0857, rtol=1e-4)


def test_offset_to_ab_makes_a_magnitude_fainter():
    magnitudes, errors = np.full((1, 2), 20.0), np.full((1, 2), 0.1)
    offset = np.array([-0.04, 0.02])  # SDSS u and z
    found = to_magnitudes(from_magnitudes(magnitudes, errors, ab_offset=offset))
    np.testing.assert_allclose(found, [[19.96, 20.02]], atol=1e-6)


def test_asinh_magnitudes_of_zero_flux_are_those_of_sdss():
    # Table of asinh softening parameters in SDSS's documentation: m(f = 0).
    softening = np.array([1.4, 0.9, 1.2, 1.8, 7.4]) * 1e-10
    zero_flux = np.array([[24.63, 25.11, 24.80, 24.36, 22.83]])
    ten_b = np.array([[22.12, 22.60, 22.29, 21.85, 20.32]])  # m(f / f0 = 10 b)
    errors = np.full((1, 5), 0.1)
    faint = from_magnitudes(zero_flux, errors, softening=softening)[..., 0]
    flux = from_magnitudes(ten_b, errors, softening=softening)[..., 0]
    unit = 10 ** (0.4 * 23.9)
    np.testing.assert_allclose(faint / unit / softening, 0, atol=0.01)
    np.testing.assert_allclose(flux / unit / softening, [[10] * 5], rtol=0.01)


def test_error_of_asinh_magnitude_is_the_derivative_of_its_flux():
    softening, step = np.array([1.4e-10, 7.4e-10]), 1e-4
    magnitudes = np.array([[22.0, 22.0], [24.9, 23.5]])
    errors = np.full((2, 2), 0.05)
    up = from_magnitudes(magnitudes - step, errors, softening=softening)
    down = from_magnitudes(magnitudes + step, errors, softening=softening)
    slope = (up[..., 0].astype(float) - down[..., 0]) / (2 * step)
    found = from_magnitudes(magnitudes, errors, softening=softening)
    np.testing.assert_allclose(found[..., 1], 0.05 * slope, rtol=3e-3)
    assert found[1, 0, 0] < 0  # fainter than zero flux is a negative flux


def test_asinh_and_pogson_agree_on_bright_objects():
    magnitudes, errors = np.full((1, 2), 15.0), np.full((1, 2), 0.02)
    pogson = from_magnitudes(magnitudes, errors)
    asinh = from_magnitudes(magnitudes, errors, softening=1e-10)
    np.testing.assert_allclose(pogson, asinh, rtol=1e-6)


@pytest.mark.parametrize(
    ("magnitude", "error", "wanted"),
    [
        (99.0, 26.4, (0.0, 0.1)),  # BPZ: the error is the limiting magnitude
        (99.0, 0.0, (0.0, NAN)),
        (99.0, 99.0, (0.0, NAN)),
        (90.0, NAN, (0.0, NAN)),
        (9999.0, -9999.0, (0.0, NAN)),
        (-99.0, 0.1, (NAN, NAN)),
        (-9999.0, 26.4, (NAN, NAN)),
        (-90.0, 0.1, (NAN, NAN)),
        (NAN, 0.1, (NAN, NAN)),
        (np.inf, 0.1, (NAN, NAN)),
        (-np.inf, 0.1, (NAN, NAN)),
        (22.0, NAN, (NAN, NAN)),
        (22.0, 0.0, (NAN, NAN)),
        (22.0, -0.1, (NAN, NAN)),
        (-80.0, 0.1, (NAN, NAN)),  # more than float32 holds
    ],
)
def test_what_was_not_seen_is_told_apart(magnitude, error, wanted):
    found = from_magnitudes(np.array([[magnitude]]), np.array([[error]]))
    np.testing.assert_allclose(found[0, 0], wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "zero_point"), [("uJy", 23.9), ("nJy", 31.4), ("Jy", 8.9)]
)
def test_fluxes_of_any_unit_are_in_microjansky(unit, zero_point):
    fluxes, errors = np.array([[3.5, -0.2]]), np.array([[0.1, 0.3]])
    found = from_fluxes(fluxes, errors, zero_point)
    scale = units.Unit(unit).to(units.uJy)
    np.testing.assert_allclose(found[..., 0], fluxes * scale, rtol=1e-6)
    np.testing.assert_allclose(found[..., 1], errors * scale, rtol=1e-6)


def test_missing_fluxes_are_not_observed_and_large_ones_are():
    fluxes = np.array([[NAN, -99.0, -9999.0, 1.0, 120.0, -95.0]])
    errors = np.array([[1.0, 1.0, -99.0, 0.0, 3.0, 80.0]])
    found = from_fluxes(fluxes, errors, 23.9)[0]
    assert np.isnan(found[:4]).all()
    np.testing.assert_allclose(found[4:], [[120, 3], [-95, 80]], rtol=1e-6)


def test_zero_points_and_offsets_go_by_band():
    fluxes, errors = np.full((2, 3), 10.0), np.ones((2, 3))
    found = from_fluxes(fluxes, errors, [22.5, 27.0, 8.9], ab_offset=[-0.04, 0, 0.5])
    wanted = np.array([22.46, 27.0, 9.4]) - 2.5
    np.testing.assert_allclose(to_magnitudes(found), [wanted, wanted], atol=1e-5)


def test_magnitudes_of_what_has_no_flux_are_unknown():
    photometry = np.array([[[1.0, 0.1], [0.0, 0.1], [-1.0, 0.1], [NAN, NAN]]])
    np.testing.assert_array_equal(to_magnitudes(photometry), [[23.9, NAN, NAN, NAN]])


def test_measured_and_undetected_exclude_each_other():
    values = np.array([[22.0, 99.0, -99.0, NAN, 90.0, 89.9, -9.0, 50.0, 0.0]])
    measured, undetected = classify(values)
    assert np.flatnonzero(measured).tolist() == [0]
    assert np.flatnonzero(undetected).tolist() == [1, 4]
    assert np.flatnonzero(classify(values, fluxes=True)[0]).tolist() == [
        *(0, 1, 4, 5, 6, 7, 8)
    ]


@pytest.mark.parametrize("sentinel", [-9.0, -1.0, 0.0, 50.0])
def test_magnitudes_that_nothing_has_are_not_observed(sentinel):
    magnitudes, errors = np.array([[sentinel, 22.0]]), np.array([[0.1, 0.1]])
    found = from_magnitudes(magnitudes, errors)
    assert np.isnan(found[0, 0]).all() and np.isfinite(found[0, 1]).all()

"""Asinh magnitudes of catalogue fluxes."""

import numpy as np

from kphotoz.features import (
    catalog_feature_names,
    catalog_photometry,
    fill_magnitudes,
    flux_softening,
)

SOFTENING = np.array([0.02, 0.05])


def photometry(flux, error):
    return np.stack([np.asarray(flux, float), np.asarray(error, float)], axis=-1)


def test_bright_magnitudes_are_ab_magnitudes():
    flux = np.array([[3631e6 * 10**-8, 400.0]])  # 20 mag; 400 uJy
    found = catalog_photometry(photometry(flux, flux / 10), SOFTENING)[0]
    np.testing.assert_allclose(found[0], 20.0, atol=2e-4)
    np.testing.assert_allclose(found[1], 23.9 - 2.5 * np.log10(400), atol=1e-4)
    np.testing.assert_allclose(found[2], found[0] - found[1], atol=1e-5)
    np.testing.assert_allclose(found[3:5], 1.0857 * 0.1, atol=1e-4)


def test_zero_flux_has_the_magnitude_of_the_softening():
    found = catalog_photometry(photometry([[0.0, 0.0]], [[0.02, 0.05]]), SOFTENING)[0]
    np.testing.assert_allclose(found[:2], 23.9 - 2.5 * np.log10(SOFTENING), rtol=1e-6)


def test_errors_are_the_slope_of_the_magnitude():
    step, flux = 1e-5, np.array([[0.03, -0.04]])
    up, down = (
        catalog_photometry(photometry(flux + s, [[1, 1]]), SOFTENING).astype(float)
        for s in (1000 * step, -1000 * step)
    )
    slope = np.abs(up - down)[0, :2] / (2000 * step)
    error = catalog_photometry(photometry(flux, [[1, 1]]), SOFTENING)[0, 3:5]
    np.testing.assert_allclose(error, slope, rtol=0.02)


def test_what_was_not_observed_is_filled_and_masked():
    table = photometry([[np.nan, 5.0]], [[np.nan, np.nan]])
    raw = catalog_photometry(table, SOFTENING)[0]
    assert np.isnan(raw[[0, 2]]).all()
    filled = catalog_photometry(table, SOFTENING, fill=[21.5, 22.0])[0]
    assert filled[0] == 21.5
    np.testing.assert_array_equal(filled[-2:], [0, 1])
    assert filled[3] == 0
    # An observed flux without an error has that of the softening.
    np.testing.assert_allclose(filled[4], 1.0857 * 0.05 / 5, rtol=1e-3)
    assert np.isfinite(filled).all()


def test_softening_and_fill_are_medians_of_what_there_is():
    random = np.random.default_rng(0)
    error = random.uniform(0.1, 0.3, (500, 3))
    flux = random.uniform(5, 9, (500, 3))
    flux[:100, 0], error[:100, 0] = np.nan, np.nan
    error[:, 1] = np.nan
    flux[:, 2], error[:, 2] = np.nan, np.nan
    softening = flux_softening(photometry(flux, error))
    expected = [np.median(error[100:, 0]), np.median(flux[:, 1]) / 100, 1.0]
    np.testing.assert_allclose(softening, expected)
    fill = fill_magnitudes(photometry(flux, error), softening)
    bright = 23.9 - 2.5 * np.log10(np.median(flux[100:, 0]))
    np.testing.assert_allclose(fill[0], bright, atol=0.01)
    assert fill[2] == 0


def test_names_stand_for_the_columns():
    names = catalog_feature_names("gri")
    table = catalog_photometry(np.ones((2, 3, 2)), np.ones(3))
    assert len(names) == table.shape[1] == 11
    assert names[3:5] == ["g-r", "r-i"]

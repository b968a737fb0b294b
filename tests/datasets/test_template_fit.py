import numpy as np
import pytest

from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.simulate import spectra, template_fit


def test_noiseless_fluxes_of_its_own_types_give_their_redshift():
    fit = template_fit.TemplateFit.create()
    table = spectra.band_table(spectra.observed_types()[:25:6], fit_filters())
    z = np.repeat([0.21, 0.47, 0.88], 5)
    flux = table.at(z)[np.arange(15), np.arange(15) % 5]
    flux *= 500 / flux[:, 3:4]
    found, width = fit(flux, 0.002 * flux)
    error = (found - z) / (1 + z)
    assert abs(error).max() < 0.03, error
    assert (width > 0).all()


def fit_filters():
    return tuple(template_fit.DEPTHS)


def test_calibration_finds_a_zero_point_that_was_put_in():
    fit = template_fit.TemplateFit.create()
    table = spectra.band_table(spectra.observed_types()[::3], fit_filters())
    z = np.random.default_rng(0).uniform(0.1, 0.9, 300)
    flux = table.at(z)[np.arange(300), np.arange(300) % table.flux.shape[1]]
    flux *= 500 / flux[:, 3:4]
    flux[:, 7] *= 1.12
    factors = fit.calibrated(flux, 0.01 * flux, z).zero_points
    others = np.delete(factors, 7)
    assert abs(factors[7] / np.median(others) - 1.12) < 0.02, factors
    assert np.ptp(others) < 0.03, factors


def test_noise_has_the_stated_depth_and_calibration_error():
    faint, bright = np.full((4000, 22), 1e-6), np.full((4000, 22), 1e7)
    rng = np.random.default_rng(5)
    noisy, error = template_fit.observe(faint, rng)
    limit = 27.0 - 2.5 * np.log10(5 * noisy.std(0))
    assert abs(limit - list(template_fit.DEPTHS.values())).max() < 0.06
    noisy, _ = template_fit.observe(bright, rng)
    np.testing.assert_allclose(noisy.std(0) / 1e7, 0.01, rtol=0.06)


@pytest.mark.parametrize("low, high, nmad_limit", [(17, 22, 0.03), (22, 23.5, 0.04)])
def test_label_errors_have_the_size_of_real_ones(low, high, nmad_limit):
    # Target: NMAD 0.008-0.04, outliers up to 7 %.
    table = catalogue.draw(1500, 11, "deep", "template_fit")
    keep = (table["magnitude"] >= low) & (table["magnitude"] < high)
    z = table["z"][keep]
    error = (table["redshift"][keep] - z) / (1 + z)
    nmad = 1.4826 * np.median(abs(error - np.median(error)))
    assert 0.008 < nmad < nmad_limit
    assert (abs(error) > 0.15).mean() < 0.05


def test_label_errors_are_coherent_in_colour():
    # The mean error of galaxies alike in colour differs from zero by far more than
    # independent noise would allow: 36 cells, expected chi2 36 +- 8.5.
    table = catalogue.draw(3000, 12, "deep", "template_fit")
    error = (table["redshift"] - table["z"]) / (1 + table["z"])
    kept = abs(error) < 0.15
    magnitude = -2.5 * np.log10(table["flux"][kept])
    cells = [
        np.searchsorted(np.quantile(colour, np.arange(1, 6) / 6), colour)
        for colour in (
            magnitude[:, 0] - magnitude[:, 2],
            magnitude[:, 2] - magnitude[:, 4],
        )
    ]
    cell = cells[0] * 6 + cells[1]
    chi2 = 0.0
    for number in range(36):
        inside = error[kept][cell == number]
        if len(inside) > 5:
            chi2 += inside.mean() ** 2 / (inside.var() / len(inside))
    assert chi2 > 150, chi2

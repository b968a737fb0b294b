import numpy as np
import pytest
import speclite.filters
from astropy import units

from kphotoz_datasets.simulate import spectra

FILTERS = ("hsc2017-r2", "hsc2017-y", "suprime-IB709")


def test_flat_spectrum_per_hertz_grows_as_one_plus_z():
    # f_nu = 1 at rest: the observed flux per Hz is 1 + z, whatever the filter.
    wavelength, _ = spectra._grid()
    flat = spectra.LIGHT / wavelength[None] ** 2
    table = spectra.band_table(flat, FILTERS)
    early = table.redshift < 2.5  # before absorption reaches r
    expected = np.broadcast_to(1 + table.redshift[early, None], (early.sum(), 3))
    np.testing.assert_allclose(table.flux[early, 0], expected, rtol=5e-4)


@pytest.mark.parametrize("z", [0.0, 0.5, 1.3])
def test_colours_of_templates_agree_with_speclite(z):
    templates = spectra.kcorrect_templates()
    table = spectra.band_table(templates, FILTERS)
    ours = -2.5 * np.log10(table.at(np.array([z]))[0])
    wavelength, _ = spectra._grid()
    group = speclite.filters.load_filters(*FILTERS)
    flux = templates * units.Unit("erg / (s cm2 Angstrom)")
    theirs = group.get_ab_magnitudes(flux, wavelength * (1 + z) * units.Angstrom)
    theirs = np.stack([np.asarray(theirs[name]) for name in FILTERS], 1)
    colours = (ours - ours[:, :1]) - (theirs - theirs[:, :1])
    assert abs(colours).max() < 0.01, colours


def test_between_grid_points_flux_is_interpolated_in_log_redshift():
    table = spectra.band_table(spectra.kcorrect_templates()[:2], FILTERS)
    middle = np.expm1(np.log1p(table.redshift[40:42]).mean())
    expected = table.flux[40:42].mean(0)
    np.testing.assert_allclose(table.at(np.array([middle]))[0], expected, rtol=1e-9)


def test_observed_types_are_positive_where_surveys_look():
    wavelength, _ = spectra._grid()
    seen = (wavelength > 1500) & (wavelength < 20000)
    assert (spectra.observed_types()[:, seen] > 0).all()

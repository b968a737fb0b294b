import numpy as np

from kphotoz_datasets.simulate import igm


def test_transmission_at_redshift_3_equals_the_values_published_with_eazy():
    # eazy 0.8.7 (MIT), eazy/tests/test_igm.py, an independent implementation.
    published = [0.33537573, 0.54634578, 0.74207249, 0.74194787, 0.79182545]
    published += [0.75792504, 0.72135181, 0.68233589, 1.0]
    rest = np.arange(850, 1251, 50)
    np.testing.assert_allclose(igm.transmission([3.0], rest * 4.0)[0], published, 1e-6)


def test_light_redder_than_lyman_alpha_passes_at_every_redshift():
    z = np.array([0.0, 0.9, 2.1, 4.9])
    wavelength = np.linspace(1217 * 5.9, 20000, 60)
    assert (igm.transmission(z, wavelength) == 1).all()


def test_each_source_is_as_if_computed_alone():
    z = np.array([0.5, 2.5, 4.4])
    wavelength = np.linspace(3000, 7000, 80)
    together = igm.transmission(z, wavelength)
    alone = [igm.transmission([one], wavelength)[0] for one in z]
    np.testing.assert_allclose(together, alone, rtol=1e-12)

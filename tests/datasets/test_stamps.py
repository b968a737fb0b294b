import dataclasses

import numpy as np
import pytest

from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.simulate import stamps

FWHM = (0.8, 0.7, 0.6, 0.65, 0.75)
QUIET = stamps.Imaging(96, 0.168, FWHM, (26.0,) * 5, neighbours=0.0, noise=False)
FLUX = np.array([40.0, 90.0, 160.0, 190.0, 220.0])
POOL = catalogue.neighbour_pool(0, "deep")


def galaxy(radius=0.5, bulge=0.3, axis_ratio=0.6):
    return {
        "flux": FLUX,
        "old_flux": 0.4 * FLUX,
        "radius": radius,
        "bulge": bulge,
        "axis_ratio": axis_ratio,
        "angle": 0.7,
    }


@pytest.mark.parametrize("bulge", [0.0, 0.5, 0.9])
def test_flux_of_an_isolated_galaxy_is_its_catalogue_magnitude(bulge):
    image = stamps.render(galaxy(bulge=bulge), POOL, QUIET, [1])
    catalogue_magnitude = 27.0 - 2.5 * np.log10(FLUX)
    measured = 27.0 - 2.5 * np.log10(image.sum((0, 1)))
    # The seeing's wings leave the stamp of 8 arcsec half-width with about 1 %.
    np.testing.assert_allclose(measured, catalogue_magnitude, atol=0.02)


def test_aperture_flux_of_a_point_source_is_the_moffat_integral(monkeypatch):
    monkeypatch.setattr(stamps, "SEEING_SCATTER", 0.0)
    monkeypatch.setattr(stamps, "JITTER", 0.0)
    imaging = dataclasses.replace(QUIET, image_size=240, pixel_scale=0.06)
    image = stamps.render(galaxy(radius=0.005, bulge=0.0), POOL, imaging, [1])
    centre = (np.arange(240) - 119.5) * 0.06
    inside = np.hypot(*np.meshgrid(centre, centre)) < 1.5
    core = np.array(FWHM) / 2 / np.sqrt(2 ** (1 / stamps.BETA) - 1)
    expected = 1 - (1 + (1.5 / core) ** 2) ** (1 - stamps.BETA)
    np.testing.assert_allclose(image[inside].sum(0) / FLUX, expected, rtol=0.01)


def test_noise_of_an_empty_sky_gives_the_stated_point_source_depth():
    imaging = dataclasses.replace(QUIET, noise=True)
    image = stamps.render(
        galaxy() | {"flux": 0 * FLUX, "old_flux": 0 * FLUX}, POOL, imaging, [2]
    )
    area = 2.266 * (np.array(FWHM) / 0.168) ** 2
    depth = 27.0 - 2.5 * np.log10(5 * image.std((0, 1)) * np.sqrt(area))
    np.testing.assert_allclose(depth, 26.0, atol=0.04)


def test_same_key_same_bytes_and_another_key_another_image():
    imaging = dataclasses.replace(QUIET, noise=True, neighbours=0.02, image_size=24)
    first = stamps.render(galaxy(), POOL, imaging, [4, 0, 1, 7])
    again = stamps.render(galaxy(), POOL, imaging, [4, 0, 1, 7])
    other = stamps.render(galaxy(), POOL, imaging, [4, 0, 1, 8])
    assert first.tobytes() == again.tobytes()
    assert first.shape == (24, 24, 5) and first.dtype == np.float32
    assert (first != other).any()


def test_depth_changes_the_size_of_the_noise_and_nothing_else():
    shallow = dataclasses.replace(QUIET, noise=True, neighbours=0.02, image_size=24)
    deep = dataclasses.replace(shallow, depth=(27.0,) * 5)
    clean = dataclasses.replace(shallow, noise=False)
    images = [stamps.render(galaxy(), POOL, one, [3]) for one in (shallow, deep, clean)]
    ratio = 10**0.4  # one magnitude
    np.testing.assert_allclose(
        images[0] - images[2], (images[1] - images[2]) * ratio, atol=2e-4
    )


def test_no_neighbour_is_centred_on_the_galaxy():
    rng = np.random.default_rng(0)
    imaging = dataclasses.replace(QUIET, neighbours=0.2)
    places = [place for _, place in stamps._neighbours(POOL, imaging, rng)]
    distance = np.hypot(*np.array(places).T)
    assert len(places) > 20 and distance.min() > stamps.CLEAR

"""The numpy photometry: names, masks and agreement with the layer."""

import keras
import numpy as np

from kphotoz.features import (
    aperture_masks,
    aperture_photometry,
    feature_names,
    noise_sigma,
)
from kphotoz.layers import AperturePhotometry


def test_numpy_and_layer_agree():
    images = np.random.default_rng(0).normal(0, 3, (7, 16, 20, 4)).astype("float32")
    softening, radii = noise_sigma(images), (1.5, 3.0, 6.0)
    layer = AperturePhotometry(softening, radii)
    got = keras.ops.convert_to_numpy(layer(images))
    want = aperture_photometry(images, softening, radii)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert want.shape[1] == len(feature_names("griz", radii)) == 4 + 3 * 6 + 2 * 4


def test_names_say_which_bands_a_colour_compares():
    images = np.ones((1, 12, 12, 3)) * [1.0, 10.0, 1000.0]
    radii = (2.0, 4.0)
    values = aperture_photometry(images, [1e-4] * 3, radii)[0]
    table = dict(zip(feature_names("gri", radii), values, strict=True))
    for radius in radii:
        np.testing.assert_allclose(table[f"g-r_{radius:g}px"], 2.5, atol=1e-3)
        np.testing.assert_allclose(table[f"g-i_{radius:g}px"], 7.5, atol=1e-3)
        np.testing.assert_allclose(table[f"r-i_{radius:g}px"], 5.0, atol=1e-3)
    area = aperture_masks(12, 12, radii).sum(axis=(0, 1))
    np.testing.assert_allclose(
        table["g_2px-4px"], 2.5 * np.log10(area[1] / area[0]), atol=1e-3
    )


def test_mask_area_tends_to_that_of_the_circle():
    area = aperture_masks(64, 60, [10.0, 25.0]).sum(axis=(0, 1))
    np.testing.assert_allclose(area, np.pi * np.square([10, 25]), rtol=0.02)


def test_noise_ignores_bright_neighbours():
    rng = np.random.default_rng(3)
    images = rng.normal(0, [0.1, 2.0], (40, 32, 32, 2))
    images[:, :3, :3] += 500.0
    np.testing.assert_allclose(noise_sigma(images), [0.1, 2.0], rtol=0.05)

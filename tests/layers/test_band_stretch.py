"""BandStretch against numpy and against its promises."""

import keras
import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.layers import BandStretch


def test_each_band_is_arcsinh_of_flux_over_its_noise():
    layer = BandStretch("gr", 0.168, scales=[2.0, 4.0], softening=[0.5, 0.1])
    x = np.array([[[[1.0, -0.3], [0.0, 40.0]]]], "float32")
    want = np.stack(
        [np.log(x[..., 0] / 0.5 + np.sqrt((x[..., 0] / 0.5) ** 2 + 1)) / 2.0] * 2, -1
    )
    ratio = x[..., 1] / 0.1
    want[..., 1] = np.log(ratio + np.sqrt(ratio**2 + 1)) / 4.0
    got = keras.ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_fit_finds_the_noise_and_gives_outputs_of_order_one():
    rng = np.random.default_rng(1)
    noise = np.array([0.02, 3.0, 0.5])
    images = rng.normal(0, 1, (60, 24, 20, 3)) * noise
    images[:, 8:16, 7:13] += 50 * noise
    layer = BandStretch.from_images(images, ["u", "g", "r"], None)
    np.testing.assert_allclose(layer.softening, noise, rtol=0.05)
    stretched = keras.ops.convert_to_numpy(layer(images[:, 6:18, 5:15]))
    rms = np.sqrt((stretched**2).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(rms, 1.0, rtol=1e-3)


def test_noise_free_and_empty_bands_stay_finite():
    images = np.zeros((3, 8, 8, 2), "float32")
    images[:, 3:5, 3:5, 0] = 7.0
    layer = BandStretch.from_images(images, "gr", 0.2)
    assert np.isfinite(keras.ops.convert_to_numpy(layer(images))).all()


def test_another_band_order_is_refused_with_both_orders():
    layer = BandStretch("gri", 0.168)
    layer.check(["g", "r", "i"], 0.1681)
    layer.check("gri", None)
    with pytest.raises(InputError, match=r"g,r,i.*Received: i,r,g"):
        layer.check("irg", 0.168)
    with pytest.raises(InputError, match=r"0\.168 arcsec.*0\.396"):
        layer.check("gri", 0.396)
    with pytest.raises(InputError, match=r"3\) for the bands"):
        BandStretch.from_images(np.zeros((2, 8, 8, 5)), "gri", None)


def test_config_round_trip_keeps_every_number():
    layer = BandStretch("gz", None, [1.5, 2.5], [0.1, 0.2], name="stretch")
    twin = BandStretch.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="scales"):
        BandStretch("gz", None, scales=[1.0])


def test_without_a_stretch_pixels_pass_but_bands_are_still_checked():
    images = np.random.default_rng(0).normal(0, 1e4, (2, 6, 8, 3)).astype("float32")
    layer = BandStretch.from_images(images, "gri", 0.168, stretch="none")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(images)), images)
    twin = BandStretch.from_config(layer.get_config())
    assert twin.stretch == "none"
    with pytest.raises(InputError, match="Received: i,r,g"):
        twin.check("irg", 0.168)
    with pytest.raises(ValueError, match="asinh stretch"):
        BandStretch("gri", None, softening=[0.1, 0.1, 0.1], stretch="none")
    with pytest.raises(ValueError, match="stretch='log'"):
        BandStretch("gri", None, stretch="log")

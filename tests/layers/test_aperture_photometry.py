"""AperturePhotometry against sums over explicit pixels."""

import keras
import numpy as np
import pytest

from kphotoz.layers import AperturePhotometry


def _sum_within(image, radius):
    height, width = image.shape
    total, count = 0.0, 0
    for row in range(height):
        for column in range(width):
            y, x = row - (height - 1) / 2, column - (width - 1) / 2
            if np.hypot(x, y) <= radius:
                total, count = total + float(image[row, column]), count + 1
    return total, count


def test_columns_are_luptitudes_colours_and_concentrations_of_pixel_sums():
    image = np.random.default_rng(2).gamma(1.0, 2.0, (9, 12, 3)).astype("float32")
    softening, radii = [0.1, 0.2, 0.3], [1.6, 3.1]
    layer = AperturePhotometry(softening, radii)
    lup = np.empty((2, 3))
    for a, radius in enumerate(radii):
        for b in range(3):
            flux, count = _sum_within(image[..., b], radius)
            noise = softening[b] * np.sqrt(count)
            lup[a, b] = -1.0857362 * (np.arcsinh(flux / 2 / noise) + np.log(noise))
    want = list(lup[1])
    want += [lup[a, 0] - lup[a, b] for a in range(2) for b in (1, 2)]
    want += [lup[a, 1] - lup[a, 2] for a in range(2)]
    want += list(lup[0] - lup[1])
    got = keras.ops.convert_to_numpy(layer(image[None]))[0]
    np.testing.assert_allclose(got, want, atol=2e-5)
    assert layer.compute_output_shape((4, 9, 12, 3)) == (4, len(want))


def test_bright_colour_is_the_flux_ratio_in_magnitudes():
    image = np.ones((1, 8, 8, 2), "float32") * [100.0, 1000.0]
    layer = AperturePhotometry([1e-3, 1e-3], [2.0])
    colour = keras.ops.convert_to_numpy(layer(image))[0, 2]
    np.testing.assert_allclose(colour, 2.5, atol=1e-4)


def test_a_single_band_has_luptitudes_and_concentrations_only():
    layer = AperturePhotometry([1.0], [2.0, 3.0])
    assert layer(np.ones((5, 8, 8, 1), "float32")).shape == (5, 2)


def test_bad_settings_are_refused_and_config_round_trips():
    with pytest.raises(ValueError, match="radii"):
        AperturePhotometry([1.0, 1.0], [3.0, 2.0])
    with pytest.raises(ValueError, match="softening"):
        AperturePhotometry([1.0, 0.0])
    with pytest.raises(ValueError, match="hold a pixel"):
        AperturePhotometry([1.0], [0.2]).build((None, 8, 8, 1))
    layer = AperturePhotometry([0.5, 0.25], [1.5, 2.0, 4.0], name="photometry")
    assert AperturePhotometry.from_config(layer.get_config()).get_config() == (
        layer.get_config()
    )

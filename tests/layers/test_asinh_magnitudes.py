"""The layer computes what the numpy features compute, and survives saving."""

import keras
import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.features import catalog_photometry
from kphotoz.layers import AsinhMagnitudes


@pytest.fixture(scope="module")
def photometry():
    random = np.random.default_rng(1)
    flux = 10 ** random.uniform(-2, 9, (60, 3)) * random.choice([-1, 1, 1], (60, 3))
    table = np.stack([flux, np.abs(flux) * 0.1 + 0.01], -1)
    table[::7, 1] = np.nan
    table[3, 2, 1] = np.nan
    return table.astype("float32")


def test_layer_equals_the_features(photometry):
    layer = AsinhMagnitudes.from_photometry(photometry, "ugr")
    expected = catalog_photometry(photometry, layer.softening, layer.fill)
    found = keras.ops.convert_to_numpy(layer(photometry))
    assert found.shape == layer.compute_output_shape(photometry.shape[:1])[:1] + (11,)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-5)
    only = AsinhMagnitudes("ugr", layer.softening, layer.fill, magnitudes_only=True)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(only(photometry)), expected[:, :3], atol=1e-4
    )


def test_layer_comes_back_from_a_file(photometry, tmp_path):
    inputs = keras.Input((3, 2))
    layer = AsinhMagnitudes.from_photometry(photometry, "ugr", name="magnitudes")
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        model.predict(photometry, verbose=0), again.predict(photometry, verbose=0)
    )
    with pytest.raises(InputError, match="u,g,r.*Received: g,u,r"):
        again.get_layer("magnitudes").check("gur", None)


@pytest.mark.parametrize("softening", [[1, 1], [1, 0, 1], [1, np.nan, 1]])
def test_impossible_numbers_are_refused(softening):
    with pytest.raises(ValueError, match="one softening > 0"):
        AsinhMagnitudes("ugr", softening, [20, 20, 20])


@pytest.mark.parametrize(
    ("bands", "remedy"), [("rgi", "in this order"), ("gi", "Give r too, or train")]
)
def test_other_bands_are_refused_with_a_remedy_for_tables(bands, remedy):
    layer = AsinhMagnitudes("gri", [1.0] * 3, [20.0] * 3)
    with pytest.raises(InputError, match=remedy):
        layer.check(bands, None)

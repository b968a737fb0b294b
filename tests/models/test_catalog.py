"""Networks of catalogues: the published one's size, a start, a short training."""

import keras
import numpy as np
import pytest

from kphotoz import losses, models
from kphotoz.errors import InputError

SMALL = {"photometry_units": [16], "quantile_bins": 4, "head_units": [8]}


@pytest.fixture(scope="module")
def sample(make_catalog):
    return make_catalog(300, bands="grizy")


def build(sample, name="catalog_mlp", seed=0, **settings):
    table = sample.table["redshift"]
    return models.build_photoz(
        {"name": name, **settings},
        sample.inputs(),
        table,
        bands=sample.info.bands,
        pixel_scale=None,
        seed=seed,
    )


def test_published_network_has_its_number_of_parameters(sample):
    # 122,212 with two outputs; one output has 205 weights and a bias less.
    model = build(sample, "catalog_4x200")
    assert (
        model.count_params()
        - sum(np.prod(w.shape) for w in model.non_trainable_weights)
        == 122_212 - 206
    )


def test_published_network_sees_magnitudes_scaled_by_their_extremes(sample):
    model = build(sample, "catalog_4x200")
    part = keras.Model(model.input, model.get_layer("magnitudes_scaled").output)
    scaled = part.predict(sample.inputs(), verbose=0)
    np.testing.assert_allclose(scaled.min(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.max(axis=0), 1, atol=1e-3)


def test_network_starts_at_the_median_and_learns_the_colour(sample):
    z = sample.table["redshift"]
    model = build(sample, **SMALL)
    start = model.predict(sample.inputs(), verbose=0)[:, 0]
    assert abs(start.mean() - np.median(z)) < 0.3 * np.std(z)
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.Adam(1e-2), losses.RobustLoss(), jit_compile=jit)
    model.fit(sample.inputs(), z[:, None], batch_size=50, epochs=20, verbose=0)
    guess = model.predict(sample.inputs(), verbose=0)[:, 0]
    assert np.median(np.abs(guess - z)) < 0.3 * np.median(np.abs(np.median(z) - z))


def test_a_missing_band_is_no_missing_prediction(sample):
    inputs = sample.inputs()
    inputs[:, 2] = np.nan
    for name in ("catalog_mlp", "catalog_4x200"):
        assert np.isfinite(build(sample, name).predict(inputs, verbose=0)).all()


def test_images_and_catalogues_do_not_mix(sample, make_sample):
    with pytest.raises(InputError, match="model.name=catalog_mlp"):
        build(sample, "small_cnn")
    with pytest.raises(InputError, match="model.name=small_cnn"):
        build(make_sample(4), "catalog_mlp")


def test_published_network_is_not_rounded_by_the_policy_in_force(sample):
    inputs = sample.inputs()
    wanted = build(sample, "catalog_4x200")
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        rounded = build(sample, "catalog_4x200")
    finally:
        keras.config.set_dtype_policy(before)
    rounded.set_weights(wanted.get_weights())
    found = [keras.ops.convert_to_numpy(m(inputs)) for m in (wanted, rounded)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head_units", 64),
        ("head_units", [0]),
        ("filters", []),
        ("image_dropout", "0,5"),
        ("image_dropout", 1.5),
        ("quantile_bins", 0),
        ("redshift_bins", -5),
        ("redshift_bins", True),
        ("radii", [0.1]),
        ("radii", [3.0, 2.0]),
        ("radii", [2.0, float("nan")]),
        ("crop", 3),
        ("augment", "yes"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_before_any_work(name, value):
    with pytest.raises(InputError, match=f"Wanted: {name} .*Leave it out"):
        models.resolve({"name": "small_cnn", name: value})

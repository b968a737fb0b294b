"""What every photo-z model promises."""

import keras
import numpy as np
import pytest

from kphotoz import adapters, losses, models
from kphotoz.errors import InputError


def _build(survey, seed=3, **architecture):
    settings = {"name": "small_cnn", "crop": 12, "filters": [4, 8], **architecture}
    settings.setdefault("radii", [1.5, 3.0, 6.0])
    return models.build_photoz(
        settings, *survey, bands="griz", pixel_scale=0.168, seed=seed
    )


def test_building_twice_gives_equal_names_and_weights(survey):
    first, second = _build(survey), _build(survey)
    paths = [weight.path for weight in first.weights]
    assert paths == [weight.path for weight in second.weights]
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = _build(survey, seed=4).get_weights()
    assert any((a != b).any() for a, b in zip(first.get_weights(), other, strict=True))


@pytest.mark.parametrize("branch", ["both", "image", "photometry"])
def test_model_starts_near_the_median_label_and_is_flat(survey, branch):
    images, z = survey
    model = _build(survey, branch=branch)
    start = model.predict(images, verbose=0, batch_size=100)[:, 0]
    assert abs(start.mean() - np.median(z)) < 0.3 * np.std(z)
    names = {layer.name for layer in model.layers}
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert model.layers[-1].name == "head_redshift"
    assert ("stem_conv" in names) == (branch != "photometry")
    assert ("photometry_dense_1" in names) == (branch == "both")
    assert ("stem_dense" in names) == (branch == "photometry")


def test_a_short_training_finds_the_colour(survey):
    images, z = survey
    model = _build(survey)
    jit = keras.backend.backend() == "jax"
    model.compile(keras.optimizers.Adam(3e-3), losses.RobustLoss(), jit_compile=jit)
    model.fit(images, z[:, None], batch_size=40, epochs=15, verbose=0)
    guess = model.predict(images, verbose=0, batch_size=100)[:, 0]
    assert np.median(np.abs(guess - z)) < 0.3 * np.median(np.abs(np.median(z) - z))


def test_image_branch_starts_without_a_say_but_with_a_gradient(survey):
    images, _ = survey
    model = _build(survey)
    empty = images.copy()
    empty[:, :6] = 0.0  # outside of every aperture but one
    layer = model.get_layer("image_dense")
    part = keras.Model(model.input, layer.output)
    assert not keras.ops.convert_to_numpy(part(images)).any()
    kernel = keras.ops.convert_to_numpy(model.get_layer("head_dense_1").kernel)
    assert np.abs(kernel[: layer.units]).min() > 0


def test_resnet18_has_the_golden_count_of_trained_parameters():
    images = np.random.default_rng(0).normal(size=(4, 64, 64, 5)).astype("float32")
    model = models.build_photoz(
        {"name": "resnet18"}, images, np.ones(4), bands="grizy", pixel_scale=0.2, seed=0
    )
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    # Source: seenivasan_2025, 11,182,784 trunk + 394,241 regressor.
    assert count == 11_577_025
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 20 and convolutions[0].name == "stem_conv"


RAW = {"stretch": "none", "augment": False, "median_start": False}


def test_the_published_options_keep_the_golden_counts():
    images = np.random.default_rng(0).normal(size=(4, 64, 64, 5)).astype("float32")
    model = models.build_photoz(
        {"name": "resnet18", **RAW},
        images,
        np.ones(4),
        bands="grizy",
        pixel_scale=0.2,
        seed=0,
    )
    # Source: seenivasan_2025, trained parameters, running statistics and adapter.
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == 11_577_025
    assert model.count_params() - count == 9_600
    choices = adapters.plan(model, 4, allow_full_rank=True)
    assert sum(choice.parameters for choice in choices) == 152_280
    assert not any(layer.name == "dihedral" for layer in model.layers)


def test_the_published_options_give_raw_pixels_unturned_and_an_ordinary_start(
    survey, facts
):
    images, z = survey
    model = _build(survey, branch="image", crop=None, image_dropout=0.0, **RAW)
    part = keras.Model(model.input, model.get_layer("stretch").output)
    passed = keras.ops.convert_to_numpy(part(images, training=True))
    np.testing.assert_array_equal(passed, images)
    # No layer but dropout and turning differs between training and prediction.
    calls = [model(images[:8], training=training) for training in (True, False)]
    one, two = map(keras.ops.convert_to_numpy, calls)
    np.testing.assert_array_equal(one, two)
    bias = model.get_layer("head_redshift").bias
    assert not keras.ops.convert_to_numpy(bias).any()
    with pytest.raises(InputError, match="bands"):
        models.check_input(model, facts("zirg", 0.168))


def test_small_cnn_can_normalise_its_convolutions(survey):
    images, z = survey
    model = _build(survey, batch_norm=True)
    norms = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms == ["stem_norm", "block1_norm"]
    assert not model.get_layer("stem_conv").use_bias
    part = keras.Model(model.input, model.get_layer("stem_norm").output)
    outputs = keras.ops.convert_to_numpy(part(images, training=True))
    # By definition: mean 0 and variance 1 over the batch and the pixels.
    np.testing.assert_allclose(outputs.mean(axis=(0, 1, 2)), 0.0, atol=1e-3)
    np.testing.assert_allclose(outputs.var(axis=(0, 1, 2)), 1.0, rtol=1e-2)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ({"name": "smal_cnn"}, "small_cnn"),
        ({"branch": "imag"}, "image"),
        ({"filter": [3]}, "filters"),
        ({"crop": 2}, "crop"),
        ({"stretch": "asin"}, "Did you mean asinh"),
        ({"augment": "no"}, "augment true or false"),
    ],
)
def test_unknown_settings_are_refused_with_the_nearest(survey, architecture, words):
    with pytest.raises(InputError, match=words):
        _build(survey, **architecture)


def test_images_that_do_not_fit_are_refused(survey):
    images, z = survey
    with pytest.raises(InputError, match="bands"):
        _build((images[..., :3], z))
    with pytest.raises(InputError, match="finite"):
        _build((images, np.full_like(z, np.nan)))
    broken = images.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite pixels"):
        _build((broken, z))

import dataclasses
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

import kphotoz_datasets  # noqa: F401  registers the builders
from kphotoz import data
from kphotoz.errors import InputError
from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.mock_hsc import mock_hsc_dataset_builder as module
from kphotoz_datasets.mock_hsc.configs import DEPTHS

SHARED = ("redshift", "redshift_error", "z_true", "magnitude", "id", "group")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("surveys")


def build(folder, name, **options):
    builder = module.Builder(config=module.config(name, **options), data_dir=folder)
    builder.download_and_prepare()
    return {
        split: list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
        for split in ("train", "validation", "calibration", "test")
    }


def test_catalogue_holds_the_galaxies_labels_and_splits_of_the_images(folder):
    images = build(folder, "spectroscopic", count=30, image_size=8)
    fluxes = build(folder, "spectroscopic_catalog", count=30)
    for split, examples in images.items():
        for image, flux in zip(examples, fluxes[split], strict=True):
            assert image["image"].shape == (8, 8, 5) and "image" not in flux
            assert flux["photometry"].shape == (5, 2)
            assert all(image[name] == flux[name] for name in SHARED)


def test_fluxes_scatter_about_the_truth_by_their_errors(folder):
    # The true i magnitude of the table is the oracle; 5 sigma of mean and variance of
    # 2,000 pulls, so one false alarm in about a million seeds.
    splits = build(folder, "photometric_catalog", count=2000, depth="wide")
    rows = [row for examples in splits.values() for row in examples]
    flux, error = np.stack([row["photometry"][2] for row in rows]).T.astype(float)
    truth = 10 ** (-0.4 * (np.array([row["magnitude"] for row in rows], float) - 23.9))
    pull = (flux - truth) / error
    assert abs(pull.mean()) < 5 / np.sqrt(2000), pull.mean()
    assert abs(pull.var() - 1) < 5 * np.sqrt(2 / 2000), pull.var()


def test_noise_of_bands_is_normal_and_independent():
    table = catalogue.draw(4000, 1, "bright")
    pull = table["deviate"]
    np.testing.assert_allclose(np.cov(pull.T), np.eye(5), atol=5 * np.sqrt(2 / 4000))
    np.testing.assert_allclose(pull.mean(0), 0, atol=5 / np.sqrt(4000))


@pytest.mark.parametrize("depth", ["wide", "deep"])
def test_point_source_at_the_limit_is_a_5_sigma_detection(depth):
    aperture = module.config("photometric_catalog", depth=depth).aperture()
    counts = 10 ** (-0.4 * (np.array(DEPTHS[depth]) - 27.0))[None]
    measured = aperture.measure(counts, np.zeros(1), np.zeros((1, 5)))[0]
    np.testing.assert_allclose(measured[:, 0] / measured[:, 1], 5, rtol=1e-6)
    magnitude = 23.9 - 2.5 * np.log10(measured[:, 0])
    np.testing.assert_allclose(magnitude, DEPTHS[depth], atol=1e-5)


def test_error_of_a_galaxy_is_that_of_a_matched_filter_on_pixels():
    # Oracle: 1 / sqrt(sum p^2 / sigma^2) of a pixelised Gaussian profile p, with the
    # pixel noise of the images.
    config = module.config("photometric_catalog")
    radius, scale = 0.7, 0.05
    error = config.aperture().error(np.array([radius]))[0]
    imaging = dataclasses.replace(config.imaging(), pixel_scale=scale)
    grid = np.hypot(*np.mgrid[-200:201, -200:201]) * scale
    for band, fwhm in enumerate(imaging.fwhm):
        variance = (fwhm**2 + (2 * radius) ** 2) / (8 * np.log(2))
        profile = np.exp(-(grid**2) / (2 * variance))
        profile /= profile.sum()
        counts = imaging.pixel_noise()[band] / np.sqrt((profile**2).sum())
        wanted = counts * 10 ** (-0.4 * (27.0 - 23.9))
        np.testing.assert_allclose(error[band], wanted, rtol=1e-3)


def test_depth_changes_the_size_of_the_noise_and_nothing_else(folder):
    rows = {
        depth: build(folder, "photometric_catalog", count=20, depth=depth)["train"]
        for depth in ("deep", "wide")
    }
    for deep, wide in zip(*rows.values(), strict=True):
        assert all(deep[name] == wide[name] for name in SHARED)
        ratio = wide["photometry"][:, 1] / deep["photometry"][:, 1]
        # From the 5-sigma limits alone; seeing differs too, for galaxies of any size.
        limits = 10 ** (0.4 * (np.array(DEPTHS["deep"]) - DEPTHS["wide"]))
        np.testing.assert_allclose(ratio, limits, rtol=0.1)


def test_rebuild_gives_the_same_bytes(tmp_path):
    found = []
    for name in ("one", "two"):
        build(tmp_path / name, "photometric_catalog", count=20)
        files = sorted((tmp_path / name).rglob("*.tfrecord*"))
        assert len(files) == 4
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]


def test_survey_opens_as_a_catalogue_in_microjansky(folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    sample = data.open_survey("mock_hsc/photometric_catalog", count=20)["train"]
    info = sample.info
    assert (info.kind, info.input_shape, info.pixel_scale) == ("catalog", (5, 2), None)
    assert info.metadata["zero_point"] == [23.9] * 5
    assert "image_size" not in info.metadata["options"]
    assert sample.inputs().shape == (12, 5, 2)
    assert np.isnan(sample.table["ra"]).all()


def test_names_tell_the_kind_and_read_back():
    sized = module.config("spectroscopic", kind="catalog", count=99)
    assert sized.name == "spectroscopic_catalog-n99"
    assert module.Builder.get_builder_config("spectroscopic_catalog-n99") is sized
    assert module.config("photometric_catalog", labels="exact").name == (
        "exact-deep-deep_catalog"
    )
    assert module.Builder.get_builder_config("photometric_catalog-p32") is None


def test_catalogue_without_images_has_no_image_size():
    with pytest.raises(InputError, match="no images. Received: image_size=32"):
        module.config("photometric_catalog", image_size=32)
    with pytest.raises(InputError, match="Did you mean catalog"):
        module.config("photometric", kind="catalogue")


@pytest.mark.large
def test_20000_galaxies_take_well_under_a_minute(tmp_path):
    start = time.monotonic()
    build(tmp_path, "photometric_catalog", count=20_000)
    assert time.monotonic() - start < 60

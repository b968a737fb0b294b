import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.ensemble import RandomForestRegressor

import kphotoz_datasets  # noqa: F401  registers the builders
from kphotoz.errors import InputError
from kphotoz_datasets.mock_hsc import mock_hsc_dataset_builder as module
from kphotoz_datasets.mock_hsc.configs import CONFIGS

SPLITS = ("train", "validation", "calibration", "test")


def build(folder, name, **options):
    """Returns the examples of all splits by id, and the split of each."""
    chosen = module.config(name, **{"count": 30, "image_size": 12} | options)
    builder = module.Builder(config=chosen, data_dir=folder)
    builder.download_and_prepare()
    examples, split_of = {}, {}
    for split in SPLITS:
        data = builder.as_dataset(split=split, shuffle_files=False)
        for example in tfds.as_numpy(data):
            assert example["id"] not in examples
            examples[example["id"]] = example
            split_of[example["id"]] = split
    return examples, split_of


@pytest.fixture(scope="module")
def surveys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surveys")
    names = ("photometric", "exact-deep-deep", "template_fit-deep-wide")
    return {name: build(folder, name) for name in names}


def test_splits_share_no_galaxy_and_have_their_sizes(surveys):
    examples, split_of = surveys["photometric"]
    counts = [sum(s == split for s in split_of.values()) for split in SPLITS]
    assert counts == [18, 3, 3, 6]
    assert {e["group"] for e in examples.values()} == set(examples)


def test_exact_labels_leave_every_pixel_as_it_was(surveys):
    fitted, exact = surveys["photometric"][0], surveys["exact-deep-deep"][0]
    assert surveys["photometric"][1] == surveys["exact-deep-deep"][1]
    for name, example in exact.items():
        assert example["image"].tobytes() == fitted[name]["image"].tobytes()
        assert example["redshift"] == example["z_true"] == fitted[name]["z_true"]
    assert any(e["redshift"] != e["z_true"] for e in fitted.values())


def test_depth_leaves_galaxies_and_labels_as_they_were(surveys):
    deep, wide = surveys["photometric"][0], surveys["template_fit-deep-wide"][0]
    assert set(deep) == set(wide)
    for name, example in deep.items():
        for key in ("redshift", "redshift_error", "z_true", "magnitude", "group"):
            assert example[key] == wide[name][key]
        assert (example["image"] != wide[name]["image"]).any()


def test_rebuild_gives_the_same_bytes_and_another_seed_other_galaxies(
    surveys, tmp_path
):
    again, _ = build(tmp_path, "photometric")
    for name, example in surveys["photometric"][0].items():
        assert example["image"].tobytes() == again[name]["image"].tobytes()
    other, _ = build(tmp_path, "photometric", seed=7)
    assert not set(other) & set(again)


def test_entries_of_an_example_are_written_in_sorted_order(tmp_path):
    # protobuf's own order changes from process to process, and the files with it.
    import tensorflow as tf

    chosen = module.config("photometric", count=10, image_size=8)
    builder = module.Builder(config=chosen, data_dir=tmp_path)
    builder.download_and_prepare()
    files = sorted(str(path) for path in builder.data_path.glob("*.tfrecord*"))
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        assert example.SerializeToString(deterministic=True) == record


def test_killed_build_is_cleared_up_and_left_nothing_under_the_final_name(tmp_path):
    chosen = module.config("photometric", count=10, image_size=8)
    folder = tmp_path / "mock_hsc" / chosen.name
    (folder / "incomplete.AAAAAA_1.0.0").mkdir(parents=True)
    (folder / "incomplete.AAAAAA_1.0.0" / "part").write_text("half")
    builder = module.Builder(config=chosen, data_dir=tmp_path)
    assert not builder.data_path.exists()
    builder.download_and_prepare()
    assert sorted(p.name for p in folder.iterdir()) == [".build.lock", "1.0.0"]


def test_two_builders_of_one_survey_build_it_once_and_both_can_read(tmp_path):
    chosen = module.config("photometric", count=10, image_size=8)
    first, second = (module.Builder(config=chosen, data_dir=tmp_path) for _ in "12")
    first.download_and_prepare()
    file = pathlib.Path(first.data_path) / "dataset_info.json"
    written = file.stat().st_mtime_ns
    second.download_and_prepare()
    assert file.stat().st_mtime_ns == written
    assert second.info.splits["train"].num_examples == 6


def test_survey_loads_by_name_and_tells_unit_bands_and_filters(surveys):
    info = tfds.builder("mock_hsc").info
    assert info.metadata["bands"] == ["g", "r", "i", "z", "y"]
    assert info.metadata["zero_point"] == [27.0] * 5
    assert info.metadata["filters"][2] == "hsc2017-i2"
    assert info.metadata["label_kind"] == "photometric"
    assert info.features["image"].shape == (64, 64, 5)
    assert module.Builder(config="spectroscopic").info.metadata["label_kind"] == (
        "spectroscopic"
    )


def test_configurations_switch_three_effects_alone_for_images_and_catalogues():
    switches = {(c.labels, c.selection, c.depth, c.kind) for c in CONFIGS.values()}
    assert len(switches) == len(CONFIGS) == 16


def test_names_tell_changed_options_and_read_back():
    sized = module.config("photometric", count=12000, seed=3)
    assert sized.name == "photometric-n12000-s3"
    assert module.Builder.get_builder_config("photometric-n12000-s3") is sized
    assert module.config("photometric", count="4000") is CONFIGS["photometric"]
    switched = module.config("photometric", labels="exact", image_size=32)
    assert switched.name == "exact-deep-deep-p32"
    for wrong in ("photometric-n4000", "photometric-x3", "spectro", "photometric-n"):
        assert module.Builder.get_builder_config(wrong) is None


@pytest.mark.parametrize(
    "name, options, told",
    [
        ("photometrik", {}, "Did you mean photometric"),
        ("photometric", {"counts": 10}, "Did you mean count"),
        ("photometric", {"depth": "ultradeep"}, "Did you mean deep"),
        ("photometric", {"count": 0}, "whole number from 10"),
        ("photometric", {"image_size": 16.5}, "Received: 16.5"),
        ("photometric", {"seed": True}, "Received: True"),
    ],
)
def test_wrong_names_and_options_are_told(name, options, told):
    with pytest.raises(InputError, match=told):
        module.config(name, **options)


def test_processes_that_draw_import_no_tensorflow():
    code = (
        "import sys, kphotoz_datasets.simulate.workers; "
        "heavy = ('tensorflow', 'keras', 'jax'); "
        "sys.exit(any(m.startswith(heavy) for m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"KPHOTOZ_DATASETS_LIGHT": "1"}
    )
    assert done.returncode == 0


@pytest.mark.large
@pytest.mark.parametrize("name", ["photometric", "spectroscopic"])
def test_forest_finds_the_survey_as_hard_as_real_photometric_redshifts(name, tmp_path):
    # Target: NMAD 0.02-0.05, outliers 5-15 %, 2,900 training galaxies.
    examples, _ = build(tmp_path, name, count=3700, image_size=32)
    rows = list(examples.values())
    images = np.stack([row["image"] for row in rows])
    truth = np.array([row["z_true"] for row in rows], float)
    label = np.array([row["redshift"] for row in rows], float)
    centre = (np.arange(32) - 15.5) * 0.168
    radius = np.hypot(*np.meshgrid(centre, centre))
    fluxes = [images[:, radius < limit].sum(1) for limit in (0.75, 1.25, 2.0)]
    magnitude = -np.arcsinh(np.stack(fluxes, 1) / 2.0)
    colour = np.diff(magnitude, axis=2)
    features = np.concatenate([magnitude, colour], 2).reshape(len(rows), -1)
    order = np.random.default_rng(0).permutation(len(rows))
    train, test = order[:2900], order[2900:]
    forest = RandomForestRegressor(
        100, min_samples_leaf=2, max_features=0.33, random_state=0
    )
    forest.fit(features[train], label[train])
    error = (forest.predict(features[test]) - truth[test]) / (1 + truth[test])
    nmad = 1.4826 * np.median(abs(error - np.median(error)))
    assert 0.02 < nmad < 0.05, nmad
    assert 0.03 < (abs(error) > 0.15).mean() < 0.15

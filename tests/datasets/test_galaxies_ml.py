import h5py
import numpy as np
import pytest
import tensorflow_datasets as tfds

from kphotoz.data import describe_survey, open_survey
from kphotoz.errors import InputError
from kphotoz_datasets._selection import source_surveys
from kphotoz_datasets.galaxies_ml import galaxies_ml_dataset_builder as module

SPLITS = ("train", "validation", "test")


def test_every_key_of_the_files_comes_back_as_it_was_written(manual):
    paths = manual.write()
    builder, found = manual.build("galaxies_ml", "images_64")
    assert builder.info.metadata["left_out"] == {}
    assert builder.info.metadata["absent_keys"] == []
    for split, path in zip(SPLITS, paths, strict=True):
        table = found[split]
        with h5py.File(path) as file:
            images = np.moveaxis(file["image"][:], 1, 3)
            np.testing.assert_array_equal(table["image"], images)
            for key in set(file) - {"image", "coord", "specz_name", "skymap_id"}:
                band, _, name = key.partition("_")
                value = (
                    table[key] if key in table else table[name][:, "grizy".index(band)]
                )
                wanted = file[key][:].astype(value.dtype)
                np.testing.assert_array_equal(value, wanted, err_msg=key)
            assert table["specz_name"].tolist() == file["specz_name"][:].tolist()
            assert table["coord"].tolist() == file["coord"][:].tolist()
            ids = [str(number).encode() for number in file["object_id"][:].tolist()]
            assert table["id"].tolist() == ids
            skymap = [str(number).encode() for number in file["skymap_id"][:].tolist()]
            assert table["skymap_id"].tolist() == skymap
    assert table["ra"].dtype == table["dec"].dtype == np.float64
    np.testing.assert_array_equal(table["redshift"], table["specz_redshift"])
    np.testing.assert_array_equal(table["redshift_error"], table["specz_redshift_err"])
    np.testing.assert_array_equal(table["magnitude"], table["cmodel_mag"][:, 2])
    assert np.isnan(table["z_true"]).all()


def test_features_are_documented_with_units_or_say_unknown(manual):
    features = module.Builder(data_dir=manual.folder).info.features
    assert len(features) == 9 + 3 + 4 + 5 + 4 + 14 + 1
    for name, feature in features.items():
        assert feature.doc.desc, name
    assert "AB mag" in features["cmodel_mag"].doc.desc
    assert "unknown" in features["petro_rad"].doc.desc
    assert "not normalised" in features["image"].doc.desc


def test_magnitudes_become_microjansky(manual):
    manual.write()
    builder, found = manual.build("galaxies_ml", "magnitudes")
    table = found["test"]
    assert "image" not in builder.info.features
    assert builder.info.features["photometry"].shape == (5, 2)
    flux = 10 ** (0.4 * (23.9 - table["cmodel_mag"].astype(float)))
    np.testing.assert_allclose(table["photometry"][..., 0], flux, rtol=1e-6)
    error = flux * table["cmodel_magsigma"] * np.log(10) / 2.5
    np.testing.assert_allclose(table["photometry"][..., 1], error, rtol=1e-6)


def test_published_cuts_leave_out_what_they_should_and_count_it(manual, capsys):
    train, *_ = manual.write()
    manual.change(
        train,
        specz_redshift={0: 0.01, 1: 4.0, 2: np.nan, 3: -99.0},
        specz_redshift_err={4: 0.0, 5: 0.5, 6: 1.0},
        r_cmodel_mag={7: 0.0, 8: 50.0, 9: -99.9},
        y_petro_rad={10: np.inf, 11: -99.0},
        specz_mag_i={12: -99.0},  # no cut: surveys without i magnitudes say so
    )
    builder, found = manual.build()
    assert builder.info.metadata["left_out"] == {
        "no label": 2,
        "sentinel": 3,
        "redshift out of range": 2,
        "redshift error out of range": 3,
        "magnitude out of range": 2,
    }
    assert len(found["train"]["id"]) == 12
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "28 of 40 rows; left out: 2 no label, 3 sentinel" in line
    assert np.isnan(found["train"]["specz_mag_i"][0])


def test_cuts_can_be_moved_and_switched_off(manual):
    train, *_ = manual.write()
    manual.change(train, specz_redshift={0: 5.0}, specz_redshift_err={1: 0.5})
    manual.change(train, y_petro_rad={2: -99.0}, g_cmodel_mag={3: 60.0})
    open_ = {"z_max": "none", "error_max": "none", "relative_error_max": None}
    open_ |= {"magnitude_max": "none", "sentinels": "keep"}
    builder, found = manual.build(**open_)
    assert builder.info.metadata["left_out"] == {}
    assert np.isnan(found["train"]["petro_rad"][2, 4])
    narrow, _ = manual.build(z_max=0.6, z_min="0.2")
    with h5py.File(train) as file:
        z = file["specz_redshift"][:]
    kept = narrow.info.splits["train"].num_examples
    assert kept == ((z > 0.2) & (z < 0.6)).sum() - sum(
        0.2 < z[row] < 0.6 for row in (1, 2, 3)
    )


def test_first_of_equal_names_and_of_equal_ids_is_kept(manual):
    train, validation, _ = manual.write()
    with h5py.File(train) as file:
        name, number = file["specz_name"][0], file["object_id"][1]
    manual.change(train, specz_name={5: name, 6: b"", 7: b""})
    manual.change(validation, specz_name={2: name}, object_id={3: number})
    builder, found = manual.build()
    assert builder.info.metadata["left_out"] == {
        "repeated specz_name": 2,
        "repeated object_id": 1,
    }
    assert name in found["train"]["specz_name"]
    keep, _ = manual.build(duplicates="keep")
    assert keep.info.metadata["left_out"] == {"repeated object_id": 1}


def test_secure_takes_true_in_any_writing_and_nothing_else(manual):
    train, validation, test = manual.write()
    manual.change(train, specz_flag_homogeneous={0: False, 3: False})
    flags = [b"True", b"t", b"1", b"False", b"f", b"0", b"true", b"T"]
    manual.change(validation, specz_flag_homogeneous=np.array(flags))
    manual.change(test, specz_flag_homogeneous=np.array([1, 1, 0, 1, 1, 1, 2, 1]))
    loose, _ = manual.build()
    assert loose.info.metadata["left_out"] == {}
    secure, found = manual.build(secure="true")
    assert secure.info.metadata["left_out"] == {"not secure": 2 + 3 + 2}
    assert all((table["specz_flag_homogeneous"] == 1).all() for table in found.values())


def test_source_surveys_are_read_off_the_names(manual):
    names = [
        "SDSS-DR14-12",
        "3DHST_v4.1-7",
        "zCOSMOS 3,GAMA-DR3-1",
        "",
        "6dF:8",
        "GAMA",
    ]
    wanted = ["SDSS", "3DHST", "GAMA+ZCOSMOS", "", "6DF", "GAMA"]
    assert source_surveys(np.array(names, object)).tolist() == wanted
    manual.write()
    _, found = manual.build(source_surveys="sdss+zcosmos")
    kept = {name for table in found.values() for name in table["source_survey"]}
    assert kept == {b"SDSS", b"GAMA+ZCOSMOS"}
    with pytest.raises(InputError, match="3DHST, GAMA, SDSS, VIPERS.*Received: DESI"):
        manual.build(source_surveys="DESI")


def test_rows_near_test_rows_are_left_out_and_groups_are_chains(manual):
    paths = manual.write()
    with h5py.File(paths[2]) as file:
        ra, dec = file["ra"][0], file["dec"][0]
    # A chain of two above test row 0, and one row below it.
    far, middle, below = (dec + offset / 3600 for offset in (18.0, 9.0, -10.7))
    manual.change(paths[0], ra={0: ra, 1: ra}, dec={0: far, 1: middle})
    manual.change(paths[1], ra={2: ra}, dec={2: below})
    builder, found = manual.build("galaxies_ml", "images_64")
    assert builder.info.metadata["left_out"] == {"neighbour of a test row": 3}
    assert found["train"]["id"].shape == (22,)
    kept, found = manual.build(neighbours="keep")
    assert kept.info.metadata["left_out"] == {}
    groups = [group for table in found.values() for group in table["group"]]
    assert len(set(groups)) == 40
    # 10.7" is inside a cutout of 64 pixels (10.752"), 18" inside one of 127 (21.336").
    narrow, _ = manual.build(neighbour_radius=10)
    assert narrow.info.metadata["left_out"] == {"neighbour of a test row": 2}


def test_chain_without_test_row_is_one_group(manual):
    train, *_ = manual.write()
    with h5py.File(train) as file:
        ra, dec = file["ra"][0], file["dec"][0]
    manual.change(train, ra={3: ra, 7: ra}, dec={3: dec + 9 / 3600, 7: dec + 18 / 3600})
    table = manual.build()[1]["train"]
    assert len(set(table["group"][[0, 3, 7]])) == 1
    assert len(table["id"]) == 24
    assert len(set(table["group"])) == 22


def test_same_source_is_never_in_train_and_test(manual):
    paths = manual.write()
    with h5py.File(paths[2]) as file:
        ra, dec = file["ra"][0], file["dec"][0]
    manual.change(paths[0], ra={0: ra}, dec={0: dec + 0.5 / 3600})
    builder, _ = manual.build(neighbours="keep")
    assert builder.info.metadata["left_out"] == {"same source of a test row": 1}


def test_calibration_is_taken_from_validation_by_group(manual):
    manual.write(sizes=(30, 40, 8))
    builder, found = manual.build(calibration=0.4)
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts["train"] == 30 and counts["test"] == 8
    assert counts["validation"] + counts["calibration"] == 40
    assert 6 <= counts["calibration"] <= 26  # 4.5 sigma of a binomial around 16
    assert not set(found["validation"]["id"]) & set(found["calibration"]["id"])
    assert "calibration" not in manual.build()[0].info.splits


def test_another_choice_is_another_data_set(manual):
    manual.write()
    plain = module.config("magnitudes")
    assert plain is module.config("magnitudes", z_max="4", calibration=0)
    assert plain.name == "magnitudes"
    names = {
        module.config("magnitudes", **{key: value}).name
        for key, value in {
            "z_max": 1.5, "calibration": 0.2, "secure": True, "neighbours": "keep",
            "duplicates": "keep", "sentinels": "keep", "mirror": "http://x",
            "neighbour_radius": 5, "source_surveys": "SDSS", "z_min": "none",
        }.items()
    }  # fmt: skip
    assert len(names) == 10 and "magnitudes" not in names
    assert module.config(source_surveys="a+B") is module.config(source_surveys="b+A")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("images_65", {}, "Did you mean images_64"),
        ("images_64", {"zmax": 3}, "Did you mean z_max"),
        ("images_64", {"z_max": "wide"}, "none for no cut.*Received: 'wide'"),
        ("images_64", {"calibration": 1}, "from 0 to 1"),
        ("images_64", {"neighbours": "kept"}, "drop or keep"),
        ("images_64", {"neighbour_radius": 0}, "arcsec > 0"),
        ("images_64", {"secure": "yes"}, "true or false"),
        ("images_64", {"radius": 1}, "option of galaxies_ml"),
    ],
)
def test_wrong_names_and_options_are_told(name, options, told):
    with pytest.raises(InputError, match=told):
        module.config(name, **options)


def test_survey_opens_by_name_with_tfds_and_with_ours(manual, monkeypatch):
    manual.write()
    monkeypatch.setenv("TFDS_DATA_DIR", str(manual.folder / "data"))
    monkeypatch.setenv("KPHOTOZ_MANUAL_DIR", str(manual.folder))
    info = describe_survey("galaxies_ml/magnitudes", z_max="2")
    assert info.kind == "catalog" and info.input_shape == (5, 2)
    assert info.pixel_scale is None and info.label_kind == "spectroscopic"
    assert info.metadata["options"]["z_max"] == 2.0
    samples = open_survey("galaxies_ml/images_64")
    assert len(samples["train"]) == 24 and len(samples["calibration"]) == 0
    assert samples["test"].inputs().shape == (8, 64, 64, 5)
    assert samples["test"].info.pixel_scale == 0.168
    loaded = tfds.load(
        "galaxies_ml/images_64", split="test", data_dir=manual.folder / "data"
    )
    ids = [row["id"].decode() for row in tfds.as_numpy(loaded)]
    assert ids == samples["test"].table["id"].tolist()


def test_two_builds_have_equal_bytes_and_caps_are_kept(manual):
    manual.write()
    first, _ = manual.build()
    again = module.Builder(config=first.builder_config, data_dir=manual.folder / "b")
    again.download_and_prepare()
    files = sorted(path.name for path in first.data_path.glob("*.tfrecord*"))
    assert len(files) == 3
    for name in files:
        assert (first.data_path / name).read_bytes() == (
            again.data_path / name
        ).read_bytes()
    capped = module.Builder(config=first.builder_config, data_dir=manual.folder / "c")
    limit = tfds.download.DownloadConfig(max_examples_per_split=3)
    capped.download_and_prepare(download_config=limit)
    assert [s.num_examples for s in capped.info.splits.values()] == [3, 3, 3]


def test_many_shards_hold_the_rows_in_order(manual, monkeypatch):
    from tensorflow_datasets.core.utils import shard_utils

    paths = manual.write()
    monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 4 * 85_000)
    builder, found = manual.build("galaxies_ml", "images_64")
    assert builder.info.splits["train"].num_shards == 4
    with h5py.File(paths[0]) as file:
        assert found["train"]["object_id"].tolist() == file["object_id"][:].tolist()

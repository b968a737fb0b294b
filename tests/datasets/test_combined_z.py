import h5py
import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz_datasets.combined_z import combined_z_dataset_builder
from kphotoz_datasets.transfer_z import transfer_z_dataset_builder

SHARED = 5


def columns(path, *keys):
    with h5py.File(path) as file:
        return [file[key][:] for key in keys]


def test_transfer_z_takes_its_label_and_says_what_is_absent(manual, capsys):
    train, *_ = manual.write("transfer_z")
    manual.change(train, **{"lp_zPDF_CLASSIC": {0: -99.0, 1: 4.2}})
    builder, found = manual.build("transfer_z", "images_64")
    metadata = builder.info.metadata
    assert metadata["label_kind"] == "photometric"
    assert metadata["left_out"] == {"no label": 1, "redshift out of range": 1}
    assert "specz_name" in metadata["absent_keys"]
    assert "not in the files: specz_" in capsys.readouterr().err
    z, images = columns(train, "lp_zPDF_CLASSIC", "image")
    table = found["train"]
    np.testing.assert_array_equal(table["redshift"], z[2:].astype(np.float32))
    np.testing.assert_array_equal(table["lp_zPDF_CLASSIC"], table["redshift"])
    np.testing.assert_array_equal(table["image"], np.moveaxis(images[2:], 1, 3))
    assert np.isnan(table["redshift_error"]).all()
    assert np.isnan(table["specz_redshift"]).all()
    assert set(table["specz_flag_homogeneous"]) == {-1}
    assert set(table["specz_name"]) == {b""}


def test_transfer_z_needs_no_more_than_image_label_and_id(manual):
    keep = {"image", "object_id", "lp_zPDF_CLASSIC"}
    for path in manual.write("transfer_z"):
        with h5py.File(path, "r+") as file:
            for key in set(file) - keep:
                del file[key]
    told = "keys g_cmodel_mag, .*magnitude_min=none and .*, neighbours=keep"
    with pytest.raises(InputError, match=told):
        manual.build("transfer_z", "images_64")
    options = {"magnitude_min": "none", "magnitude_max": "none", "neighbours": "keep"}
    builder, found = manual.build("transfer_z", "images_64", **options)
    assert builder.info.metadata["left_out"] == {}
    assert np.isnan(found["test"]["ra"]).all()
    assert (found["test"]["group"] == found["test"]["id"]).all()
    with pytest.raises(InputError, match="i_cmodel_mag"):
        manual.build("transfer_z", "magnitudes", **options)


def test_transfer_z_has_no_spectroscopic_options():
    for option in ("secure", "error_max", "mirror", "match"):
        with pytest.raises(InputError, match="option of transfer_z"):
            transfer_z_dataset_builder.config(**{option: 1})


@pytest.mark.parametrize("match", ["position", "id"])
def test_galaxies_ml_wins_where_both_have_a_galaxy(manual, match):
    ours, *_ = manual.write("galaxies_ml", shared=SHARED)
    theirs, *_ = manual.write("transfer_z", shared=SHARED)
    builder, found = manual.build("combined_z", "images_64", match=match)
    assert builder.info.metadata["left_out"] == {"in galaxies_ml too": SHARED}
    assert builder.info.metadata["label_kind"] == "mixed"
    table = found["train"]
    assert len(table["id"]) == 24 + 24 - SHARED
    z, images = columns(ours, "specz_redshift", "image")
    spectroscopic = table["survey"] == b"galaxies_ml"
    np.testing.assert_array_equal(table["redshift"][spectroscopic], np.float32(z))
    pixels = np.moveaxis(images, 1, 3)
    np.testing.assert_array_equal(table["image"][spectroscopic], pixels)
    z, images = columns(theirs, "lp_zPDF_CLASSIC", "image")
    rest = table["survey"] == b"transfer_z"
    np.testing.assert_array_equal(table["redshift"][rest], np.float32(z)[SHARED:])
    pixels = np.moveaxis(images, 1, 3)[SHARED:]
    np.testing.assert_array_equal(table["image"][rest], pixels)
    assert np.isnan(table["redshift_error"][rest]).all()
    assert (table["redshift_error"][spectroscopic] > 0).all()
    assert len(found["validation"]["id"]) == len(found["test"]["id"]) == 16


def test_radius_and_rule_decide_what_is_one_galaxy(manual):
    manual.write("galaxies_ml", shared=SHARED)
    theirs, *_ = manual.write("transfer_z", shared=SHARED)
    dec, number = columns(theirs, "dec", "object_id")
    # Row 0 lies 1.5" off, row 1 has another id.
    manual.change(theirs, dec={0: dec[0] + 1.5 / 3600}, object_id={1: number[1] + 1})
    position, _ = manual.build("combined_z")
    left = {"in galaxies_ml too": SHARED - 1}
    # Ids must be distinct, so row 0 goes all the same.
    assert position.info.metadata["left_out"] == left | {"repeated object_id": 1}
    manual.change(theirs, object_id={0: number[0] + 7})
    assert manual.build("combined_z", z_max=3.99)[0].info.metadata["left_out"] == left
    wide, _ = manual.build("combined_z", radius="2")
    assert wide.info.metadata["left_out"] == {"in galaxies_ml too": SHARED}
    names, _ = manual.build("combined_z", match="id", neighbours="keep")
    assert names.info.metadata["left_out"]["in galaxies_ml too"] == SHARED - 2


def test_ready_made_union_is_used_where_it_is(manual):
    paths = manual.write("combo")
    manual.write("galaxies_ml")
    builder, found = manual.build("combined_z", "images_64")
    assert builder.info.metadata["rows_read"] == 40
    assert sorted(builder.info.metadata["files"]) == sorted(p.name for p in paths)
    (z,) = columns(paths[2], "z_truth")
    np.testing.assert_array_equal(found["test"]["redshift"], np.float32(z))
    np.testing.assert_array_equal(found["test"]["z_truth"], np.float32(z))
    assert set(found["test"]["survey"]) == {b""}
    assert np.isnan(found["test"]["redshift_error"]).all()


def test_union_by_position_needs_positions(manual):
    manual.write("galaxies_ml", shared=SHARED)
    for path in manual.write("transfer_z", shared=SHARED):
        manual.change(path, ra=None, dec=None)
    with pytest.raises(InputError, match="keys dec, ra .*, or set match=id"):
        manual.build("combined_z", neighbours="keep")
    builder, _ = manual.build("combined_z", neighbours="keep", match="id")
    assert builder.info.metadata["left_out"] == {"in galaxies_ml too": SHARED}


def test_combined_config_has_the_options_of_both_and_of_the_union():
    config = combined_z_dataset_builder.config("images_127", match="id", secure=True)
    assert config.options["match"] == "id" and config.options["secure"] is True
    assert config.image_size == 127

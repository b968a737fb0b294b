import functools
import http.server
import threading

import h5py
import numpy as np
import pytest

from kphotoz.data import describe_survey, open_survey
from kphotoz.errors import InputError


@pytest.fixture(params=["images_64", "magnitudes"])
def config(request):
    return request.param


def one_line(error):
    text = str(error.value)
    assert "\n" not in text and "Wanted" in text and "Received" in text
    return text


def refuse(manual, *names, match, **options):
    with pytest.raises(InputError, match=match) as error:
        manual.build(*names, **options)
    assert not list((manual.folder / "tfds").glob("*/*/1.0.0"))
    return one_line(error)


def rename(paths, names):
    for path, name in zip(paths, names, strict=True):
        path.rename(path.parents[1] / name)


def test_file_of_the_other_survey_is_named(manual, config, layout):
    ours = [name.format(64) for name in layout.NAMES["galaxies_ml"]]
    theirs = [name.format(64) for name in layout.NAMES["transfer_z"]]
    rename(manual.write("transfer_z"), ours)
    told = refuse(manual, "galaxies_ml", config, match="a file of transfer_z")
    assert "'specz_redshift'" in told
    rename(manual.write("galaxies_ml"), theirs)
    told = refuse(manual, "transfer_z", config, match="a file of galaxies_ml")
    assert "'lp_zPDF_CLASSIC'" in told
    rename(manual.write("combo"), theirs)
    refuse(manual, "transfer_z", config, match="a file of combined_z")


def test_truncated_files_are_told(manual, config):
    _, validation, _ = manual.write()
    content = validation.read_bytes()
    validation.write_bytes(content[: len(content) // 2])
    told = refuse(manual, "galaxies_ml", config, match="cannot be read")
    assert validation.name in told and "truncated" in told
    validation.write_bytes(b"no HDF5 file at all")
    refuse(manual, "galaxies_ml", config, match="cannot be read")


def test_misspelt_folder_starts_no_download(tmp_path):
    from kphotoz_datasets._hdf5_files import survey_files

    options = {"manual_dir": tmp_path / "misspelt"}
    with pytest.raises(InputError, match="misspelt, not there") as error:
        survey_files("galaxies_ml", [64], options, None, None)  # nothing to load with
    assert "KPHOTOZ_MANUAL_DIR" in one_line(error)


@pytest.mark.parametrize("key", ["object_id", "i_cmodel_mag", "ra", "specz_name"])
def test_missing_needed_keys_are_named(manual, key):
    *_, test = manual.write()
    manual.change(test, **{key: None})
    told = refuse(manual, match=f"keys {key} in .*testing")
    assert "and" in told and "more" in told


def test_missing_image_matters_to_images_only(manual):
    *_, test = manual.write()
    manual.change(test, image=None)
    refuse(manual, "galaxies_ml", "images_64", match="keys image")
    manual.build("galaxies_ml", "magnitudes")


def test_missing_optional_keys_are_nan_and_told(manual, capsys):
    paths = manual.write()
    for path in paths:
        manual.change(path, y_petro_rad=None, x_coord_x=np.zeros(8))
        manual.change(path, coord=None, average_cmodel_mag=np.zeros(8))
    with h5py.File(paths[0], "r+") as file:
        del file["x_coord_x"], file["average_cmodel_mag"]
    builder, found = manual.build()
    assert builder.info.metadata["absent_keys"] == ["coord", "x_coord_x", "y_petro_rad"]
    assert builder.info.metadata["unread_keys"] == ["average_cmodel_mag"]
    assert "not in the files: coord, x_coord_x, y_petro_rad" in capsys.readouterr().err
    assert np.isnan(found["test"]["petro_rad"][:, 4]).all()
    assert np.isfinite(found["test"]["petro_rad"][:, :4]).all()


def test_wrong_shapes_and_lengths_are_told(manual):
    train, validation, _ = manual.write()
    manual.change(train, image=np.zeros((24, 5, 32, 32), np.float32))
    wanted = r"\(24, 5, 64, 64\).*Received: \(24, 5, 32, 32\)"
    refuse(manual, "galaxies_ml", "images_64", match=wanted)
    manual.change(train, image=np.zeros((24, 64, 64, 5), np.float32))
    refuse(manual, "galaxies_ml", "images_64", match=r"\(24, 64, 64, 5\)")
    manual.change(train, image=np.zeros((23, 5, 64, 64), np.float32))
    refuse(manual, "galaxies_ml", "images_64", match=r"Received: \(23, 5, 64, 64\)")
    manual.change(validation, g_petro_rad=np.zeros(7))
    refuse(manual, match="8 rows in key 'g_petro_rad'.*'specz_redshift'")


def test_label_that_is_no_redshift_is_told(manual):
    train, *_ = manual.write()
    manual.change(train, specz_redshift=np.linspace(17.5, 24, 24))
    told = refuse(manual, match="between 0.01 and 4.0 in 'specz_redshift'")
    assert "to 24, 24 of 40 outside" in told
    manual.change(train, specz_redshift=np.full(24, np.nan))
    refuse(manual, match="Wanted: rows for train.*24 no label")


def test_ids_that_lost_digits_and_text_for_numbers_are_told(manual):
    train, *_ = manual.write()
    manual.change(train, g_petro_rad=np.array([b"far"] * 24))
    refuse(manual, match="g_petro_rad.*'far'")
    manual.change(train, object_id=np.linspace(3e16, 4e16, 24))
    refuse(manual, match="float64 .* cannot hold long ids")


def test_no_row_left_says_what_left_them_out(manual):
    manual.write()
    refuse(manual, match="none of 40 rows.*40 redshift error", error_max=1e-9)
    manual.write(density=1e9)
    told = refuse(manual, match="train and validation.*32 neighbour of a test row")
    assert "neighbours=keep" in told


def test_missing_files_are_named_with_their_place_and_source(manual, monkeypatch):
    train, validation, test = manual.write()
    validation.unlink()
    told = refuse(manual, match="Received: all but 5x64x64_validation")
    assert "zenodo.org/records/11117528" in told
    told = refuse(manual, "transfer_z", "images_127", match="transferz_5x127x127_TEST")
    assert "tfds/downloads/manual/transfer_z" in told.replace("\\", "/")
    assert "zenodo.org/records/16989604" in told and "KPHOTOZ_MANUAL_DIR" in told
    assert "--set source.options.manual_dir=FOLDER" in told  # as fit and compare do
    train.unlink()
    test.unlink()
    # combined_z says so before it downloads the other half.
    monkeypatch.setattr("kphotoz_datasets._hdf5_files._download", None)
    refuse(manual, "combined_z", match="transferz_5x64x64_TRAINING.h5")


def test_files_are_found_in_every_place_that_is_named(manual, monkeypatch):
    manual.write(image_size=127, sizes=(4, 2, 2))
    data = manual.folder / "data"
    monkeypatch.setenv("TFDS_DATA_DIR", str(data))
    place = data / "downloads" / "manual"
    place.mkdir(parents=True)
    (manual.folder / "galaxies_ml").rename(place / "galaxies_ml")
    # Magnitudes are in the files of 127 pixels as well.
    assert len(open_survey("galaxies_ml/magnitudes")["train"]) == 4
    moved = manual.folder / "elsewhere"
    (place / "galaxies_ml").rename(moved)
    monkeypatch.setenv("KPHOTOZ_MANUAL_DIR", str(moved))
    assert open_survey("galaxies_ml/images_127")["test"].inputs().shape[1:] == (
        127,
        127,
        5,
    )
    assert describe_survey("galaxies_ml/images_127").counts["train"] == 4


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(manual):
    folder = manual.folder / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()
        thread.join()


def test_galaxies_ml_downloads_from_a_mirror(manual, server, monkeypatch, capsys):
    folder, address = server
    for path in manual.write():
        path.rename(folder / path.name)
    monkeypatch.setenv("TFDS_DATA_DIR", str(manual.folder / "data"))
    samples = open_survey("galaxies_ml/magnitudes", mirror=address)
    assert [len(samples[split]) for split in ("train", "validation", "test")] == [
        24,
        8,
        8,
    ]
    assert f"from {address[:-1]}" in capsys.readouterr().err


def test_failed_download_is_one_line(manual, server):
    _, address = server
    with pytest.raises(InputError, match="404.*KPHOTOZ_MANUAL_DIR.*mirror=") as error:
        manual.build("galaxies_ml", mirror=address)
    one_line(error)


def test_columns_that_declare_more_than_the_file_holds_are_refused(manual):
    paths = manual.write()
    with h5py.File(paths[0], "w") as file:
        for key in ("specz_redshift", "object_id", "ra", "dec", "specz_name"):
            file.create_dataset(key, (10**10,), "f8", chunks=(1000,))
    refuse(manual, match="declares 80000000000 bytes, holds 0")

"""A user's file becomes a survey: whole, by content, nothing dropped in silence."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from kphotoz import data, files_in
from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.importing import row_groups
from kphotoz.files_in.readers import ImageFile


def spec(path, **fields):
    known = {"bands": tuple("griz"), "photometry": "unknown", "name": path.parent.name}
    return FileSpec.create(file=path, **known | fields)


@pytest.fixture(autouse=True)
def _folder(survey_folder):
    """All imports of this module go to the tests' own folder."""


def test_imported_survey_holds_every_row_once(make_file, plain_cutouts):
    samples = files_in.open_file(spec(make_file("hdf5"), pixel_scale=0.3))
    images, columns = plain_cutouts()
    seen = {}
    for sample in samples.values():
        for name, image in zip(sample.table["id"], sample.inputs(), strict=True):
            seen[name] = image
    assert sorted(seen) == sorted(columns["id"].tolist())
    for row, name in enumerate(columns["id"].tolist()):
        np.testing.assert_array_equal(seen[name], np.moveaxis(images[row], 0, -1))
    info = samples["train"].info
    assert info.bands == tuple("griz") and info.pixel_scale == 0.3
    assert info.metadata["zero_point"] is None and info.unit == "unknown"


def test_a_survey_and_its_file_have_the_zero_point_of_their_unit(make_file):
    said = spec(make_file("npz"), unit="nJy", name="scaled")
    info = next(iter(files_in.open_file(said).values())).info
    assert info.zero_point == files_in.open_stream(said).zero_point == [31.4] * 4
    assert info.unit == "nJy"


def test_changed_file_is_built_anew_and_opened_by_name(make_file, survey_folder):
    path = make_file("npz")
    first = files_in.import_file(spec(path))
    assert files_in.import_file(spec(path)) == first
    second = files_in.import_file(spec(make_file("npz", redshift=np.full(6, 0.25))))
    assert second != first
    name = first.rpartition("-")[0]
    assert {name, first, second} <= set(data.list_surveys())
    newest = data.open_survey(name)
    assert all((s.table["redshift"] == 0.25).all() for s in newest.values())
    older = data.open_survey(first)
    assert not any((s.table["redshift"] == 0.25).any() for s in older.values())


def test_photometry_must_be_declared_or_said_to_be_unknown(make_file):
    with pytest.raises(InputError, match="nothing on pixel_scale, unit, zero_point"):
        files_in.import_file(spec(make_file("npz"), photometry="declared"))


def test_bad_rows_stop_the_import_with_count_and_first(make_file, plain_cutouts):
    images = plain_cutouts()[0].copy()
    images[4] = np.nan
    redshift = np.array([0.1, -0.2, 0.3, -99, 0.5, 0.6])
    path = make_file("npz", images, redshift=redshift)
    told = r"3 of 6 rows without, first row 1 \(id n1, negative_redshift\)"
    with pytest.raises(InputError, match=told):
        files_in.import_file(spec(path))


def test_skipped_rows_are_counted_and_listed(make_file, capsys, survey_folder):
    redshift = np.array([0.1, np.nan, 0.3, -99, 99, -0.1])
    path = make_file("npz", redshift=redshift)
    samples = files_in.open_file(spec(path, skip_bad=True, name="Skipping"))
    kept = [name for sample in samples.values() for name in sample.table["id"]]
    assert sorted(kept) == ["n0", "n2"]
    assert "4 of 6 rows left out, first row 1" in capsys.readouterr().err
    with open(survey_folder / "cutouts" / "skipping.skipped.csv") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["row", "id", "reason"],
        ["1", "n1", "missing_redshift"],
        ["3", "n3", "sentinel_redshift"],
        ["4", "n4", "sentinel_redshift"],
        ["5", "n5", "negative_redshift"],
    ]


def test_file_without_any_usable_row_is_refused(make_file):
    path = make_file("npz", redshift=np.full(6, np.nan))
    with pytest.raises(InputError, match="6 of 6 rows"):
        files_in.import_file(spec(path, skip_bad=True))


def test_duplicate_ids_are_refused_by_name(make_file):
    path = make_file("npz", id=np.array(["a", "b", "a", "c", "d", "e"]))
    with pytest.raises(InputError, match="'a' more than once"):
        files_in.import_file(spec(path))


def test_missing_redshifts_are_refused_with_the_keys_there_are(make_file):
    path = make_file("npz", redshift=None)
    with pytest.raises(InputError, match="'redshift' in .* Received: images, id") as e:
        files_in.import_file(spec(path))
    assert str(e.value).endswith("If there are none, say --label-kind none.")


@pytest.mark.parametrize("redshift", [None, np.array([0.1, -9, np.nan, 99, 0.2, 0.3])])
def test_a_survey_may_have_no_labels(make_file, capsys, redshift):
    path = make_file("npz", redshift=redshift)
    samples = files_in.open_file(spec(path, label_kind="none"))
    assert sum(map(len, samples.values())) == 6
    for sample in samples.values():
        assert np.isnan(sample.table["redshift"]).all()
    told = "its 'redshift' is left out, as label_kind is none"
    assert (told in capsys.readouterr().err) == (redshift is not None)


def test_no_labels_and_a_column_of_labels_exclude_each_other(make_file):
    with pytest.raises(InputError, match="label_kind none has no redshift"):
        spec(make_file("npz"), label_kind="none", keys={"redshift": "redshift"})


def test_neighbours_on_the_sky_share_a_split(make_file):
    close = {"ra": np.array([10.0] * 6), "dec": np.arange(6) * 5 / 3600}
    samples = files_in.open_file(spec(make_file("npz", **close), pixel_scale=0.4))
    # 6.4 arcsec wide cutouts 5 arcsec apart: one chain of friends, so one split
    assert sorted(map(len, samples.values())) == [0, 0, 0, 6]


def test_a_crowd_that_is_one_group_is_refused_or_told(make_file, capsys):
    """Friends of friends percolate in a dense field: splits would be one."""
    images = np.ones((30, 4, 16, 16), np.float32)
    table = {"id": np.arange(30), "redshift": np.linspace(0.1, 1, 30)}
    sky = {"ra": np.full(30, 10.0), "dec": np.arange(30) * 5 / 3600}
    path = make_file("npz", images, **table, **sky)
    with pytest.raises(InputError, match="30 of 30 rows in one, sky-.*--key group"):
        files_in.import_file(spec(path, pixel_scale=0.4, name="crowd"))
    files_in.import_file(spec(path, pixel_scale=0.4, name="own", keys={"group": "id"}))
    sky["dec"][:10] *= 100
    path = make_file("npz", images, **table, **sky)
    capsys.readouterr()
    files_in.import_file(
        spec(path, pixel_scale=0.4, name="less", splits=(0.5, 0, 0, 0.5))
    )
    assert "20 of 30 rows in one" in capsys.readouterr().err
    whole = {"pixel_scale": 0.4, "splits": (0, 0, 0, 1)}  # nothing is to be split
    files_in.import_file(spec(path, name="tested", **whole))
    assert "20 of 30 rows in one" in capsys.readouterr().err
    files_in.import_file(spec(path, pixel_scale="unknown", name="scaleless"))
    told = capsys.readouterr().err
    assert "no pixel scale: cutouts of neighbours" in told


def test_an_offset_to_AB_is_added_to_the_zero_point_of_cutouts(make_file):
    vega = {"zero_point": 22.5, "magnitude_system": "Vega", "ab_offset": 2.7}
    said = spec(make_file("npz"), name="vega", **vega)
    info = next(iter(files_in.open_file(said).values())).info
    assert info.zero_point == files_in.open_stream(said).zero_point == [25.2] * 4
    assert info.metadata["given_zero_point"] == [22.5] * 4
    del vega["ab_offset"]
    with pytest.raises(InputError, match="Vega needs ab_offset"):
        spec(make_file("npz"), name="vega", **vega)


@pytest.mark.large
def test_an_import_holds_no_split_in_memory(make_file, tmp_path):
    """Peaks of processes of their own: 197 MB of cutouts against 39 MB."""
    code = (
        "import resource, sys\n"
        "from kphotoz import files_in\n"
        "from kphotoz.files_in.file_spec import FileSpec\n"
        "said = FileSpec.create(file=sys.argv[1], bands=tuple('griz'),\n"
        "                       photometry='unknown')\n"
        "files_in.import_file(said)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for rows in (600, 3000):
        images = np.ones((rows, 4, 64, 64), np.float32)
        names = {"id": np.arange(rows), "redshift": np.full(rows, 0.5)}
        path = make_file("hdf5", images, str(rows), **names)
        del images
        command = [sys.executable, "-c", code, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(1024 * int(done.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 60e6, peaks


def test_repeats_of_a_source_share_a_group_where_pixels_are_unknown(make_file):
    dec = np.array([0.0, 0.4, 9.0, 9.4, 20.0, 30.0]) / 3600
    path = make_file("npz", ra=np.full(6, 10.0), dec=dec)
    with ImageFile(spec(path)) as file:
        groups = row_groups(file)
    assert groups[0] == groups[1] and groups[2] == groups[3]
    assert len(set(groups)) == 4


def test_repeat_spectra_of_real_quasars_stay_together(real_data, survey_folder):
    path = real_data / "sdss_qso_cutouts" / "noisy_labels.h5"
    import h5py

    with h5py.File(path) as file:
        group = {
            name.decode(): str(number)
            for name, number in zip(
                file["object_id"][:], file["source_group"][:], strict=True
            )
        }
    samples = files_in.open_file(
        FileSpec.create(file=path, photometry="unknown", label_kind="spectroscopic")
    )
    homes = {}
    for split, sample in samples.items():
        for name in sample.table["id"]:
            homes.setdefault(group[name], set()).add(split)
    assert sum(map(len, samples.values())) == 400
    assert max(map(len, homes.values())) == 1 and len(homes) < 400
    data.check_disjoint(samples["train"], samples["test"])


def test_build_removes_what_a_killed_build_left(make_file, survey_folder):
    first = files_in.import_file(spec(make_file("npz")))
    folder = survey_folder / first
    for path in (folder / "1.2.0").iterdir():
        path.unlink()
    (folder / "1.2.0").rmdir()  # as if it had never been finished
    stale = folder / "incomplete.AB12CD_1.2.0"
    stale.mkdir()
    (stale / "half").write_text("half")
    assert files_in.import_file(spec(make_file("npz"))) == first
    assert sum(map(len, data.open_survey(first).values())) == 6
    assert not stale.exists() and not list(folder.glob("incomplete*"))


def test_rows_without_ids_of_two_files_are_different_objects(make_file):
    samples = [
        files_in.open_file(spec(make_file("npz", None, folder, id=None)))
        for folder in ("first", "second")
    ]
    for one in samples[0].values():
        for other in samples[1].values():
            data.check_disjoint(one, other)


def test_true_redshifts_of_simulations_are_kept(make_file):
    truth = np.linspace(0.2, 0.7, 6).astype(np.float32)
    samples = files_in.open_file(spec(make_file("npz", z_true=truth)))
    found = [z for sample in samples.values() for z in sample.table["z_true"]]
    assert sorted(found) == truth.tolist()


@pytest.mark.parametrize("layout", ["now", "snake", "older", "json"])
def test_a_survey_of_a_stranger_imports_no_module_of_its_choice(
    make_file, survey_folder, tmp_path, monkeypatch, layout
):
    """TFDS itself imports whatever module features.json names."""
    name = files_in.import_file(spec(make_file("npz", folder=layout)))
    (path,) = survey_folder.glob(f"{name}/*/features.json")
    (tmp_path / "stranger.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    features = json.loads(path.read_text())
    inside = features["featuresDict"]["features"]
    legacy = {"type": "stranger.Text", "content": {}}
    if layout == "older":
        features = legacy
    elif layout == "json":
        inside["id"] = {"pythonClassName": inside["id"]["pythonClassName"]}
        inside["id"]["jsonFeature"] = {"json": json.dumps(legacy)}
    else:
        key = {"now": "pythonClassName", "snake": "python_class_name"}[layout]
        del inside["id"]["pythonClassName"]
        inside["id"][key] = "stranger.Text"
    path.write_text(json.dumps(features))
    with pytest.raises(InputError, match="a feature of the type"):
        data.open_survey(name)
    assert "stranger" not in sys.modules

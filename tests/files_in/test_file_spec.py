import os

import pytest

from kphotoz.errors import InputError
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.specs import make_spec

DECLARED = {
    "pixel_scale": 0.2,
    "unit": "nanomaggy",
    "zero_point": 22.5,
    "magnitude_system": "AB",
    "filters": ("sdss-g", "sdss-r"),
    "psf_fwhm": "unknown",
    "extinction": "none",
}


def test_yaml_fields_arrive_and_the_command_line_wins(tmp_path):
    path = tmp_path / "survey.yaml"
    path.write_text(
        "file: cutouts.h5\nbands: [g, y, n]\npixel_scale: 0.2\n"
        "keys: {redshift: zspec}\nzero_point: [22.5, 22.4, 27]\nunit:\n"
    )
    spec = FileSpec.from_yaml(path, pixel_scale="0.3", layout="band_last")
    assert spec.file == tmp_path / "cutouts.h5" and spec.bands == ("g", "y", "n")
    assert spec.pixel_scale == 0.3 and spec.zero_point == (22.5, 22.4, 27.0)
    assert spec.keys == {"redshift": "zspec"} and spec.unit is None


@pytest.mark.parametrize("make", [FileSpec.from_yaml, make_spec])
def test_keys_of_the_command_line_replace_those_of_their_roles_alone(tmp_path, make):
    path = tmp_path / "survey.yaml"
    path.write_text("file: a.h5\nkeys: {redshift: zspec, group: SOURCE, id: OBJID}\n")
    spec = make(path, keys={"redshift": "z_new", "ra": "RA"})
    wanted = {"redshift": "z_new", "group": "SOURCE", "id": "OBJID", "ra": "RA"}
    assert spec.keys == wanted


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"band": "g"}, "band: Extra inputs"),
        ({"keys": {"redshfit": "z"}}, "unknown role 'redshfit'"),
        ({"bands": ("g", "g")}, "distinct"),
        ({"bands": ("g", "r"), "zero_point": (1, 2, 3)}, "3 values for 2 bands"),
        ({"pixel_scale": -1}, "pixel_scale"),
        ({"zero_point": "nan"}, "zero_point"),
        ({"splits": (0.5, 0.5, 0.5, 0)}, "add up to 1"),
        ({"layout": "bands_first"}, "band_first"),
    ],
)
def test_wrong_fields_are_told_in_one_line(fields, told):
    with pytest.raises(InputError, match=told) as error:
        FileSpec.create(file="a.h5", **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "- a", "a: [", "file: [1]", "\x00", "file: {}"])
def test_what_is_no_description_is_refused(tmp_path, text):
    path = tmp_path / "survey.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="Wanted"):
        FileSpec.from_yaml(path)


@pytest.mark.parametrize("missing", list(DECLARED))
def test_each_missing_piece_of_photometry_is_asked_for(missing):
    FileSpec.create(file="a.h5", bands=("g", "r"), **DECLARED).check_photometry()
    some = {key: value for key, value in DECLARED.items() if key != missing}
    if missing == "zero_point":
        some["unit"] = "count"  # which implies none
    with pytest.raises(InputError, match=f"nothing on {missing}\\."):
        FileSpec.create(file="a.h5", bands=("g", "r"), **some).check_photometry()
    FileSpec.create(file="a.h5", photometry="unknown", **some).check_photometry()


def test_unknown_is_none_and_one_number_stands_for_all_bands():
    spec = FileSpec.create(file="a.h5", bands=("g", "r"), **DECLARED)
    assert spec.declared("psf_fwhm", 2) is None
    assert spec.declared("zero_point", 2) == [22.5, 22.5]
    assert spec.declared("filters") == ["sdss-g", "sdss-r"]


@pytest.mark.parametrize(("unit", "wanted"), [("nJy", 31.4), ("nanomaggy", 22.5)])
def test_a_known_unit_of_pixels_implies_the_zero_point(unit, wanted):
    known = DECLARED | {"unit": unit, "zero_point": None}
    spec = FileSpec.create(file="a.h5", bands=("g", "r"), **known)
    spec.check_photometry()
    assert spec.declared("zero_point", 2) == [wanted, wanted]
    for other, zero_point in [(unit, "unknown"), ("count", None), ("unknown", None)]:
        known |= {"unit": other, "zero_point": zero_point}
        spec = FileSpec.create(file="a.h5", bands=("g", "r"), **known)
        assert spec.declared("zero_point", 2) is None


@pytest.mark.parametrize("zero_point", [27.0, (22.5, 27.0)])
def test_a_unit_and_another_units_zero_point_are_refused(zero_point):
    known = DECLARED | {"zero_point": zero_point}
    with pytest.raises(
        InputError, match="zero_point .*27.0.* is not nanomaggy's, 22.5"
    ):
        FileSpec.create(file="a.h5", bands=("g", "r"), **known)
    FileSpec.create(file="a.h5", bands=("g", "r"), **known | {"unit": "count"})


def test_digest_follows_bytes_and_meaning_but_not_the_place(tmp_path):
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    first.write_bytes(b"content")
    second.write_bytes(b"content")
    spec = FileSpec.create(file=first)
    assert spec.digest() == FileSpec.create(file=second).digest()
    assert spec.digest() != FileSpec.create(file=first, seed=1).digest()
    assert spec.digest() != FileSpec.create(file=first, keys={"id": "a"}).digest()
    before = spec.digest()
    first.write_bytes(b"Content")
    assert spec.digest() != before
    with pytest.raises(InputError, match="Check the path"):
        FileSpec.create(file=tmp_path / "none.h5").digest()


def test_digest_leaves_out_what_is_hidden_in_a_folder(tmp_path):
    folder = tmp_path / ".mine" / "cutouts"  # hidden itself: that is the path's affair
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.fits").write_bytes(b"content")
    spec = FileSpec.create(file=folder)
    before = spec.digest()
    (folder / ".p.parquet.parts").mkdir()
    (folder / ".p.parquet.parts" / "0.npz").write_bytes(b"half")
    (folder / "deep" / ".a.7.partial.fits").write_bytes(b"half")
    assert spec.digest() == before
    (folder / "deep" / "a.fits").write_bytes(b"Content")
    assert spec.digest() != before
    (folder / "deep" / "a.fits").write_bytes(b"content")
    (folder / "b.fits").write_bytes(b"half")
    assert spec.digest() != before


def test_digest_changes_with_what_lies_outside_of_the_folder(tmp_path):
    folder, outside = tmp_path / "cutouts", tmp_path / "elsewhere"
    (outside / "deep").mkdir(parents=True)
    folder.mkdir()
    (folder / "linked").symlink_to(outside)
    (outside / "circle").symlink_to(folder)
    tables = ("../elsewhere.csv", str(tmp_path / "other.csv"), ".hidden.csv")
    read = [outside / "deep" / "a.fits", *(folder / table for table in tables)]
    for path in read:
        path.write_bytes(b"content")
    for table, path in zip((None, *tables), read, strict=True):
        spec = FileSpec.create(file=folder, table=table)
        before = spec.digest()
        assert spec.digest() == before
        path.write_bytes(b"Content")
        assert spec.digest() != before, path
    with pytest.raises(InputError, match="none.csv: No such file.*Check the path"):
        FileSpec.create(file=folder, table="none.csv").digest()


def test_digest_tells_which_folder_a_link_leads_to(tmp_path):
    for name in ("a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.fits").write_bytes(name.encode())
    found = []
    for target in ("a", "c"):
        (tmp_path / "z").unlink(missing_ok=True)
        (tmp_path / "z").symlink_to(target)
        found.append(FileSpec.create(file=tmp_path).digest())
    assert found[0] != found[1]


def test_a_name_that_is_no_text_has_a_digest(tmp_path):
    (tmp_path / os.fsdecode(b"g\xe9.fits")).write_bytes(b"content")
    assert len(FileSpec.create(file=tmp_path).digest()) == 64


@pytest.mark.parametrize(
    ("file", "name", "title"),
    [
        ("a/My data.h5", None, "my_data"),
        ("a.h5", "QSO z>5", "qso_z_5"),
        ("é", "", "file"),
    ],
)
def test_title_can_name_a_folder(file, name, title):
    assert FileSpec.create(file=file, name=name).title == title


@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".h5"])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(InputError, match="file: .*too long"):
        FileSpec.create(file=name)


def test_a_description_that_repeats_itself_is_refused(tmp_path):
    path = tmp_path / "survey.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path.write_text("\n".join([*lines, "bands: *a11"]))
    with pytest.raises(InputError, match="aliases make it huge"):
        FileSpec.from_yaml(path)

"""Descriptions of tables: what must be said, what contradicts, which kind a file is."""

import pytest

from kphotoz.errors import InputError
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.file_spec import FileSpec
from kphotoz.files_in.specs import make_spec

MAGNITUDES = {
    "bands": ("g", "r"),
    "magnitudes": ("a", "b"),
    "magnitude_errors": ("c", "d"),
}
FLUXES = {"bands": ("g", "r"), "fluxes": ("a", "b"), "flux_errors": ("c", "d")}
DECLARED = {
    "magnitude_type": "pogson",
    "magnitude_system": "AB",
    "filters": ("sdss-g", "sdss-r"),
    "extinction": "none",
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"bands": None}, "bands are needed"),
        ({"magnitudes": None}, "either magnitudes or fluxes"),
        ({"fluxes": ("e", "f")}, "either magnitudes or fluxes"),
        ({"magnitude_errors": None}, "magnitude_errors are needed"),
        ({"magnitude_errors": ("c",)}, "not 2 bands, 2 magnitudes, 1 magnitude_err"),
        ({"bands": ("g", "r", "i")}, "not 3 bands, 2 magnitudes, 2 magnitude_err"),
        ({"magnitudes": ("a", "a")}, "column 'a' is given twice"),
        ({"magnitude_errors": ("c", "a")}, "column 'a' is given twice"),
        ({"keys": {"redshift": "b"}}, "'b' is both the redshift and photometry"),
        ({"keys": {"image": "b"}}, "unknown role 'image'"),
        ({"zero_point": 23.9}, "zero_point does not belong to magnitudes"),
        ({"unit": "uJy"}, "unit does not belong to magnitudes"),
        ({"pixel_scale": 0.2}, "pixel_scale: Extra inputs"),
        ({"magnitude_system": "Vega"}, "needs ab_offset"),
        ({"magnitude_type": "asinh"}, "need softening.*z 7.4e-10"),
        ({"softening": 1e-10}, "need softening"),
        ({"magnitude_type": "asinh", "softening": (1e-10, -1e-10)}, "positive"),
        (
            {"magnitude_type": "asinh", "softening": "sdss", "bands": ("g", "y")},
            "SDSS has no band y",
        ),
        ({"reference_band": "i"}, "none of the bands g, r"),
        ({"extinction_columns": ("e", "f")}, "need extinction: deredden"),
        (
            {"extinction_columns": ("e",), "extinction": "deredden"},
            "1 extinction_columns",
        ),
        ({"maximum_magnitude_error": -1}, "maximum_magnitude_error"),
        ({"ab_offset": (1, 2, 3)}, "3 values for 2 bands"),
    ],
)
def test_contradictions_of_magnitudes_are_told_in_one_line(changed, told):
    with pytest.raises(InputError, match=told) as error:
        CatalogSpec.create(file="a.csv", **MAGNITUDES | changed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "fluxes need zero_point, or unit as one of Jy, mJy, uJy"),
        ({"unit": "unknown"}, "fluxes need zero_point"),
        ({"unit": "counts"}, "fluxes need zero_point"),
        ({"unit": "nJy", "zero_point": 23.9}, r"\[23.9, 23.9\] is not nJy's, 31.4"),
        ({"unit": "nJy", "magnitude_type": "asinh"}, "does not belong to fluxes"),
        ({"unit": "nJy", "maximum_magnitude_error": 1}, "does not belong to fluxes"),
    ],
)
def test_contradictions_of_fluxes_are_told(changed, told):
    with pytest.raises(InputError, match=told):
        CatalogSpec.create(file="a.csv", **FLUXES | changed)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"unit": "nJy"}, [31.4, 31.4]),
        ({"unit": "nanomaggy"}, [22.5, 22.5]),
        ({"unit": "maggy"}, [0, 0]),
        ({"zero_point": (25, 27)}, [25, 27]),
        ({"unit": "ADU", "zero_point": 27}, [27, 27]),
        ({"unit": "Jy", "zero_point": 8.9}, [8.9, 8.9]),
    ],
)
def test_units_have_their_zero_points(said, wanted):
    assert CatalogSpec.create(file="a.csv", **FLUXES | said).zero_points() == wanted


@pytest.mark.parametrize("missing", list(DECLARED))
def test_each_missing_piece_of_photometry_is_asked_for(missing):
    CatalogSpec.create(file="a.csv", **MAGNITUDES, **DECLARED).check_photometry()
    some = MAGNITUDES | {key: DECLARED[key] for key in DECLARED if key != missing}
    with pytest.raises(InputError, match=f"nothing on {missing}\\."):
        CatalogSpec.create(file="a.csv", **some).check_photometry()
    CatalogSpec.create(file="a.csv", photometry="unknown", **some).check_photometry()
    CatalogSpec.create(file="a.csv", **some | {missing: "unknown"}).check_photometry()


@pytest.mark.parametrize(
    ("bands", "given", "wanted"),
    [
        (("g", "r", "i", "z"), None, 2),
        (("u", "g", "r"), None, 1),
        (("g",), None, 0),
        (("g", "r", "i"), "g", 0),
    ],
)
def test_reference_band_is_i_or_the_middle_one(bands, given, wanted):
    spec = CatalogSpec.create(
        file="a.csv",
        bands=bands,
        magnitudes=[f"m{x}" for x in bands],
        magnitude_errors=[f"e{x}" for x in bands],
        reference_band=given,
    )
    assert spec.reference == wanted


def test_columns_of_photometry_make_a_catalogue(tmp_path):
    assert isinstance(make_spec("a.csv", **MAGNITUDES), CatalogSpec)
    assert isinstance(make_spec("a.fits", bands=("g", "r")), FileSpec)
    path = tmp_path / "survey.yaml"
    path.write_text(
        "file: mine.csv\nbands: [g, y]\nfluxes: [f_g, f_y]\nflux_errors: [e_g, e_y]\n"
        "unit: nJy\nkeys: {redshift: z}\nextinction:\n"
    )
    spec = make_spec(path, unit="uJy")
    assert isinstance(spec, CatalogSpec) and spec.file == tmp_path / "mine.csv"
    assert spec.bands == ("g", "y") and spec.unit == "uJy" and spec.extinction is None
    path.write_text("file: mine.h5\nbands: [g, y]\n")
    assert isinstance(make_spec(path), FileSpec)
    with pytest.raises(InputError, match="either magnitudes or fluxes"):
        make_spec("a.csv", magnitude_errors=("c", "d"))


def test_digest_follows_the_meaning(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,d\n")
    spec = CatalogSpec.create(file=path, **MAGNITUDES)
    digests = {
        CatalogSpec.create(file=path, **MAGNITUDES | changed).digest()
        for changed in (
            {},
            {"ab_offset": 0.1},
            {"magnitudes": ("b", "a")},
            {"maximum_magnitude_error": 1.0},
        )
    }
    assert len(digests) == 4 and spec.digest() in digests

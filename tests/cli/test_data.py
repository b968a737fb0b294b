import json

import numpy as np
import pytest
from click.testing import CliRunner

from kphotoz.errors import InputError
from kphotoz_cli.data import command


def run(*arguments):
    """Returns what a run printed; errors are raised as they are."""
    result = CliRunner().invoke(command, [str(x) for x in arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    path = tmp_path / "mine.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path,
        stamps=rng.normal(1, 0.1, (30, 16, 16, 2)),
        zspec=np.linspace(0, 1, 30),
        mag=rng.normal(21, 1, (30, 2)),
        name=np.arange(30),
    )
    return path


KEYS = [f"--key={x}" for x in ("image=stamps", "redshift=zspec", "id=name")]
DECLARED = "--pixel-scale=0.2 --unit=nanomaggy --zero-point=22.5,22.505 --bands=g,r"
DECLARED += " --magnitude-system=AB --filters=sdss-g,sdss-r --psf-fwhm=unknown"
DECLARED += " --extinction=none --label-kind=spectroscopic --licence=CC0-1.0"


def test_imported_file_is_described_and_listed(file):
    printed = json.loads(run("import", file, *KEYS, *DECLARED.split(), "--json"))
    assert printed["bands"] == ["g", "r"] and printed["pixel_scale"] == 0.2
    assert printed["zero_point"] == [22.5, 22.505] and printed["psf_fwhm"] is None
    assert sum(printed["counts"].values()) == 30
    assert json.loads(run("describe", "cutouts/mine", "--json"))["licence"] == "CC0-1.0"
    text = run("describe", printed["survey"])
    assert "0.2 arcsec" in text and "nanomaggy" in text and "sdss-r" in text
    assert printed["survey"] in run("list").split()


def test_description_in_a_file_equals_the_options(file):
    first = json.loads(run("import", file, *KEYS, *DECLARED.split(), "--json"))
    description = file.parent / "survey.yaml"
    description.write_text(
        "file: mine.npz\nkeys: {image: stamps, redshift: zspec, id: name}\n"
        "bands: [g, r]\npixel_scale: 0.2\nunit: nanomaggy\nzero_point: [22.5, 22.505]\n"
        "magnitude_system: AB\nfilters: [sdss-g, sdss-r]\npsf_fwhm: unknown\n"
        "extinction: none\nlabel_kind: spectroscopic\nlicence: CC0-1.0\n"
    )
    assert json.loads(run("import", description, "--json")) == first
    other = json.loads(run("import", description, "--split-seed", 1, "--json"))
    assert other["survey"] != first["survey"] and other["counts"] != first["counts"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing on pixel_scale, unit"),
        (["--key=redshift"], "--key ROLE=NAME"),
        (["--photometry=unknown"], "'image' in .*stamps, zspec, mag, name"),
        (["--photometry=unknown", *KEYS], "--bands"),
        (["--pixel-scale=wide"], "pixel_scale"),
    ],
)
def test_incomplete_imports_are_refused_in_one_line(file, arguments, told):
    with pytest.raises(InputError, match=told) as error:
        run("import", file, *arguments)
    assert "\n" not in str(error.value)


def test_unknown_surveys_and_options_are_refused(file):
    with pytest.raises(InputError, match="mock_hsc/photometric"):
        run("describe", "mock_hcs/photometric")
    with pytest.raises(InputError, match="KEY=VALUE"):
        run("build", "mock_hsc/photometric", "--option", "count")
    with pytest.raises(InputError, match="cuont"):
        run("build", "mock_hsc/photometric", "--option", "cuont=3")


TABLE = "--magnitudes=mag_g,mag_r,mag_i --magnitude-errors=err_g,err_r,err_i"
TABLE += " --bands=g,r,i --key=redshift=zspec --key=id=objid"
SAID = "--magnitude-type=asinh --softening=1e-10,1e-10,2e-10 --magnitude-system=SDSS"
SAID += " --ab-offset=-0.04,0,0.02 --filters=a,b,c --extinction=none"


@pytest.fixture
def table(file, catalogs):
    return catalogs.write(file.parent / "mine.csv", catalogs.columns(30))


def test_imported_table_is_described_as_given_and_as_held(table):
    arguments = ["import", table, *TABLE.split()]
    printed = json.loads(run(*arguments, *SAID.split(), "--json"))
    assert printed["survey"].startswith("catalog/mine-")
    assert (printed["kind"], printed["unit"]) == ("catalog", "uJy")
    assert printed["given_magnitude_system"] == "SDSS" and printed["filters"] == [
        *"abc"
    ]
    assert sum(printed["counts"].values()) == 30
    text = run("describe", "catalog/mine")
    assert "given_magnitude_type   asinh" in text and "pixel_scale" not in text


def test_described_table_equals_the_options(table):
    first = json.loads(
        run("import", table, *TABLE.split(), "--photometry=unknown", "--json")
    )
    description = table.parent / "survey.yaml"
    description.write_text(
        "file: mine.csv\nmagnitudes: [mag_g, mag_r, mag_i]\nphotometry: unknown\n"
        "magnitude_errors: [err_g, err_r, err_i]\nbands: [g, r, i]\n"
        "keys: {redshift: zspec, id: objid}\n"
    )
    assert json.loads(run("import", description, "--json")) == first


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (TABLE, "nothing on magnitude_type, magnitude_system, filters, extinction"),
        ("--photometry=unknown", "--magnitudes or --fluxes"),
        (f"{TABLE} --unit=nJy", "unit does not belong to magnitudes"),
        (f"{TABLE} --softening=sdss", "need softening"),
        (f"{TABLE} --bands=g,r", "2 bands, 3 magnitudes"),
        (TABLE.replace("mag_r", "mag_R") + " --photometry=unknown", "Did you mean mag"),
        (
            "--fluxes=mag_g,mag_r,mag_i --flux-errors=err_g,err_r,err_i --bands=g,r,i "
            "--unit=nanomaggy --photometry=unknown",
            "as magnitudes have",
        ),
    ],
)
def test_unusable_tables_are_refused_in_one_line(table, arguments, told):
    with pytest.raises(InputError, match=told) as error:
        run("import", table, *arguments.split())
    assert "\n" not in str(error.value)

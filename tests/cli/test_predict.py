import json
import os

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from kphotoz.errors import InputError
from kphotoz.layers import BandStretch
from kphotoz.tables import read_table
from kphotoz_cli.main import group
from kphotoz_cli.predict import command


def run(*arguments):
    """Returns what a run printed; errors are raised as they are."""
    result = CliRunner().invoke(command, [str(x) for x in arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16, 16, 3), name="image")
    x = BandStretch("gri", 0.2, softening=[0.1] * 3, name="stretch")(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="stem_conv")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="head_redshift")(x))


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(4).normal(1, 0.5, (10, 3, 16, 16)).astype("f4")
    images[7] = 0
    np.savez(tmp_path / "plain.npz", stamps=images, name=np.arange(10))
    return tmp_path


READING = ["--bands=g,r,i", "--key=image=stamps", "--key=id=name"]


def test_file_without_labels_is_predicted_as_the_model_predicts(folder, model):
    out = folder / "p.parquet"
    paths = [folder, folder / "plain.npz", "--out", out]
    printed = json.loads(run(*paths, *READING, "--batch-size", 4, "--json"))
    engine = printed.pop("engine")
    assert printed == {"out": str(out), "rows": 10, "flagged": {"all_zero_image": 1}}
    assert engine["name"] == "keras" and engine["precision"] == "float32"
    assert keras.__version__ in engine["version"]
    table = parquet.read_table(out).to_pydict()
    assert list(table) == ["id", "row", "z_pred", "flag"]
    with np.load(folder / "plain.npz") as file:
        images = np.moveaxis(file["stamps"], 1, -1)
    wanted = keras.ops.convert_to_numpy(model(images))[:, 0]
    wanted[7] = np.nan
    np.testing.assert_allclose(table["z_pred"], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--key=image=stamps"], "--bands"),
        (["--bands=r,g,i", "--key=image=stamps"], "Received: r,g,i"),
        ([*READING, "--pixel-scale=0.4"], "0.4 arcsec"),
        ([*READING, "--out=p.txt"], "'.txt'"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(folder, arguments, told):
    with pytest.raises(InputError, match=told) as error:
        run(folder, folder / "plain.npz", *arguments)
    assert "\n" not in str(error.value)


def test_engine_and_its_reason_are_told_in_one_line(folder):
    out = folder / "p.parquet"
    paths = [folder, folder / "plain.npz", "--out", out]
    given = [str(x) for x in (*paths, *READING, "--engine=keras")]
    result = CliRunner().invoke(command, given)
    told = [x for x in result.stderr.splitlines() if x.startswith("Engine:")]
    assert len(told) == 1 and "as asked" in told[0], result.stderr
    assert keras.backend.backend() in told[0]


def test_beam_writes_the_rows_that_predict_writes(folder):
    paths = [folder, folder / "plain.npz", *READING, "--batch-size=4"]
    run(*paths, "--out", folder / "p.parquet")
    beam = "--beam=--runner=DirectRunner"
    printed = json.loads(run(*paths, "--out", folder / "many", beam, "--json"))
    assert printed["rows"] == 10 and printed["flagged"] == {"all_zero_image": 1}
    found = parquet.read_table(folder / "many").sort_by("row").to_pydict()
    wanted = parquet.read_table(folder / "p.parquet").to_pydict()
    assert list(found) == list(wanted)
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    told = CliRunner().invoke(command, [*map(str, paths), beam, "--resume"])
    assert told.exit_code == 2 and "--resume" in told.output


def test_missing_runs_and_inputs_are_told(folder):
    with pytest.raises(InputError, match="does not exist"):
        run(folder, folder / "none.npz", *READING)
    with pytest.raises(InputError, match="run folder"):
        run(folder / "none", folder / "plain.npz", *READING)


def test_survey_is_predicted_split_by_split(folder, model, monkeypatch):
    from kphotoz import files_in

    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "tfds"))
    rng = np.random.default_rng(5)
    np.savez(
        folder / "sky.npz",
        images=rng.normal(1, 0.5, (40, 16, 16, 3)).astype("f4"),
        redshift=rng.uniform(0, 1, 40),
        id=np.arange(40),
    )
    spec = files_in.FileSpec.create(
        file=folder / "sky.npz", bands=tuple("gri"), photometry="unknown"
    )
    name, samples = files_in.import_file(spec), files_in.open_file(spec)
    out = folder / "p.parquet"
    run(folder, f"{name}:test", "--out", out, "--batch-size", 3)
    table = parquet.read_table(out).to_pydict()
    assert table["id"] == samples["test"].table["id"].tolist()
    run(folder, name, "--out", out, "--batch-size", 3)
    table = parquet.read_table(out).to_pydict()
    assert sorted(map(int, table["id"])) == list(range(40))
    row = table["id"].index(samples["test"].table["id"][0])
    wanted = keras.ops.convert_to_numpy(model(samples["test"].inputs()[:1]))[0, 0]
    np.testing.assert_allclose(table["z_pred"][row], wanted, rtol=1e-4)
    with pytest.raises(InputError, match="Unknown split"):
        run(folder, f"{name}:training", "--out", out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["predict", "run", "mock_hsc/photometric", "--ab-offset=0.1"], "--ab-offset"),
        (["shift", "run", "--source=mock_hsc/photometric", "--key=id=name"], "--key"),
        (["compare", "--skip-bad", "--split-seed=3"], "--skip-bad, --split-seed"),
        (["fit", "cutouts", "--data=mock_hsc/photometric", "--bands=g,r"], "--bands"),
    ],
)
def test_options_that_describe_no_file_are_refused(tmp_path, arguments, told):
    if arguments[0] == "shift":
        arguments += ["--target=mock_hsc/spectroscopic"]
    out = tmp_path / "out"
    result = CliRunner().invoke(group, [*arguments, f"--out={out}"])
    assert isinstance(result.exception, InputError), result.output
    assert f"Wanted: a file that {told} can describe" in str(result.exception)
    assert not out.exists()


def test_paths_that_cannot_be_looked_at_are_told_in_one_line(folder, tmp_path):
    long, loop = tmp_path / ("x" * 300 + ".h5"), tmp_path / "loop.h5"
    loop.symlink_to(loop)
    for path in (long, loop):
        for words in ([folder, path], [path, folder / "plain.npz"]):
            with pytest.raises(InputError, match="Wanted") as told:
                run(*words, "--out", tmp_path / "p.csv", *READING)
            assert "\n" not in str(told.value)


def test_a_folder_is_no_place_for_a_table(folder):
    out = folder / "p.parquet"
    out.mkdir()
    (out / ".mine.7.partial.txt").write_text("x")
    with pytest.raises(InputError, match="a file for predictions.*a folder"):
        run(folder, folder / "plain.npz", "--out", out, *READING)
    assert (out / ".mine.7.partial.txt").exists()


def test_inputs_of_one_name_are_refused(folder):
    paths = [folder, *[folder / "plain.npz"] * 2]
    with pytest.raises(InputError, match="different names.*plain.npz more than once"):
        run(*paths, "--out", folder / "p.csv", *READING)
    assert not (folder / "p.csv").exists()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "fits"])
def test_a_name_that_is_no_unicode_does_not_lose_the_predictions(folder, suffix):
    odd = folder / os.fsdecode(b"caf\xe9.npz")
    (folder / "plain.npz").rename(odd)
    np.savez(folder / "b.npz", **np.load(odd))
    out = folder / f"p.{suffix}"
    run(folder, odd, folder / "b.npz", "--out", out, *READING)
    names = {str(name) for name in read_table(out)["input"]}
    assert len(names) == 2 and any("caf\\xe9" in name for name in names)


@pytest.mark.parametrize("bad", ["objects", "another length"])
def test_a_label_that_cannot_be_read_is_left_out_beside_others(folder, bad):
    kept = dict(np.load(folder / "plain.npz"))
    kept["redshift"] = np.linspace(0.1, 1, 10)
    kept["magnitude"] = np.array([1, None] * 5, object) if bad == "objects" else [1.0]
    np.savez(folder / "odd.npz", **kept)
    out = folder / "p.csv"
    arguments = [folder, folder / "odd.npz", "--out", out, *READING]
    told = CliRunner().invoke(command, [str(x) for x in arguments])
    assert told.exit_code == 0 and "Without magnitude" in told.stderr
    table = read_table(out)
    assert "magnitude" not in table
    np.testing.assert_array_equal(table["redshift"], kept["redshift"])

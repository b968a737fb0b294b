import json
import os
import shutil

import numpy as np
import pytest

from kphotoz import regimes
from kphotoz.errors import InputError

OF_REGIME = "Training settings of (base|full).*"

FILES = {"comparison.json", "comparison.csv", "predictions.parquet", "report.html"}


@pytest.fixture(scope="module", autouse=True)
def data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        yield


# The large tests run them all.
FEW = ["zero_shot", "transfer_paper", "lora_paper"]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FEW, id="few"),
        pytest.param(regimes.names(), id="all", marks=pytest.mark.large),
    ],
)
def test_regimes_run_on_a_users_two_samples(
    kphotoz, surveys, tiny, tmp_path, names, request, contents, monkeypatch
):
    monkeypatch.setenv("KPHOTOZ_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"
    arguments = ["compare", *surveys["data"], *surveys["source"], *tiny]
    arguments += ["--set=overrides.combined_paper.training.epochs=2"]
    arguments += ["--regimes", ",".join(names), "--seeds=1", "--out", out]
    printed = kphotoz(*arguments)
    assert printed.startswith("On the deployment sample")
    assert FILES <= {path.name for path in out.iterdir()}
    found = json.loads((out / "comparison.json").read_text())
    assert {row["regime"] for row in found["rows"]} == set(names)
    assert {row["sample"] for row in found["rows"]} >= {"source", "target", "both"}
    # Without training a base predicts the same; at rate 1e-8 almost the same.
    values = {
        (row["regime"], row["sample"], row["metric"]): row["value"]
        for row in found["rows"]
    }
    near = values["transfer_paper", "target", "nmad"]
    assert near == pytest.approx(values["zero_shot", "target", "nmad"], rel=1e-3)
    with pytest.raises(InputError, match="Add --resume"):
        kphotoz(*arguments)
    # Metrics are written last: without them a job counts as killed and is done again.
    again, base = contents(out / "jobs"), out / "jobs" / "base-f0-s0"
    (out / "jobs" / "lora_paper-f1-s0" / "metrics.json").unlink()
    shutil.rmtree(base)
    request.getfixturevalue("undrawn")
    kphotoz(*arguments, "--resume")
    assert contents(out / "jobs") == again
    assert json.loads((base / "cost.json").read_text())["reused"]


@pytest.mark.large
@pytest.mark.usefixtures("undrawn")
def test_regimes_without_a_source_need_no_source(kphotoz, surveys, tiny, tmp_path):
    out = tmp_path / "run"
    arguments = [
        *surveys["data"],
        *tiny,
        "--seeds=1",
        "--fractions=0.5,1",
        "--out",
        out,
    ]
    found = json.loads(kphotoz("compare", *arguments, "--json"))
    assert {row["regime"] for row in found["rows"]} == {"from_scratch", "random_forest"}
    labels = {row["fraction"]: row["n_labels"] for row in found["rows"]}
    assert labels[0.5] < labels[1.0]


@pytest.mark.usefixtures("undrawn")
def test_a_grid_is_searched_at_the_first_seed_and_kept(
    kphotoz, surveys, tiny, tmp_path
):
    out = tmp_path / "run"
    grid = "--set=search.learning_rate=[1.0e-9, 0.01]"
    arguments = [*surveys["data"], *tiny, grid, "--regimes=from_scratch", "--seeds=2"]
    kphotoz("compare", *arguments, "--out", out, "--set=training.epochs=8")
    rates = [
        json.loads(
            (out / "jobs" / f"from_scratch-f1-s{seed}" / "metrics.json").read_text()
        )
        for seed in (0, 1)
    ]
    # A rate of 1e-9 learns nothing, so the other one wins on any validation set.
    assert [rate["settings"]["learning_rate"] for rate in rates] == [0.01, 0.01]


@pytest.mark.usefixtures("undrawn")
def test_an_unlabelled_deployment_survey_weights_the_test_sample(
    kphotoz, surveys, tiny, make_sample, tmp_path
):
    sample = make_sample(60, 5, tag="anywhere")
    path = tmp_path / "anywhere.npz"
    np.savez(path, stamps=sample.inputs(), name=np.asarray(sample.table["id"], str))
    reading = [one for one in surveys["data"][1:] if "zspec" not in one]
    reading += ["--label-kind=none", "--json"]
    survey = json.loads(kphotoz("data", "import", path, *reading))["survey"]
    arguments = [*tiny, "--seeds=1", "--regimes=random_forest"]
    arguments += ["--out", tmp_path / "run"]
    with pytest.raises(InputError, match="a redshift for every object of cutouts/any"):
        kphotoz("compare", "cutouts", "--data", survey, *arguments)
    arguments += [*surveys["data"], "--deploy", survey]
    found = json.loads(kphotoz("compare", *arguments, "--json"))
    assert any("effective size" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "mock_hcs"], "Did you mean mock_hsc"),
        (["compare", "--regimes", "lorra"], "Did you mean lora"),
        (["compare", "--set", "training.epoch=3"], "Did you mean epochs"),
        (["compare", "--data", "no/such.h5"], "no/such.h5"),
        (["compare", "cutouts", "--data", "mock_hsc/photometrik"], "photometric"),
        (["fit", "--regime", "lora"], "Wanted: --base RUN"),
        (["fit", "--regime", "random_forest"], "changes a network"),
        (["fit", "--regime", "full", "--base", "nowhere"], "model.keras"),
        (["fit", "--base", "nowhere"], "no --base"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    kphotoz, arguments, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        kphotoz(*arguments)
    assert words in str(caught.value)
    assert len(str(caught.value).split()) < 120


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--set=adaptation.epoch=3", "Unknown field 'adaptation'"),
        ("--set=overrides.full.training.epoch=3", f"{OF_REGIME}epoch"),
        ("--sweep=full.batch_size=0,64", f"{OF_REGIME}batch_size"),
        ("--set=search.learning_rate=[fast]", f"{OF_REGIME}learning_rate"),
    ],
)
def test_wrong_settings_of_one_regime_are_told_before_anything_is_trained(
    kphotoz, surveys, tiny, tmp_path, setting, words
):
    out = tmp_path / "run"
    arguments = [*surveys["data"], *surveys["source"], *tiny, "--regimes=full", setting]
    with pytest.raises(InputError, match=words):
        kphotoz("compare", *arguments, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "--quick", "--full"],
        ["compare", "--fractions", "a,b"],
        ["compare", "--fractions", ""],
        ["compare", "--regimes", " , "],
        ["compare", "--seeds", "0"],
        ["compare", "cutouts"],
        ["fit", "--fraction", "2"],
        ["compare", "--backend", "torch"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_status_2(usage, arguments):
    assert "Error" in usage(*arguments)


def test_a_source_of_other_pixels_is_refused_before_anything_is_trained(
    kphotoz, surveys, tiny, make_sample, tmp_path
):
    sample = make_sample(60, 5, size=20, tag="wide")
    path = tmp_path / "wide.npz"
    ids = np.asarray(sample.table["id"], str)
    np.savez(path, stamps=sample.inputs(), name=ids, zspec=sample.table["redshift"])
    arguments = [*surveys["data"], *tiny, f"--source={path}", "--regimes=full"]
    with pytest.raises(InputError, match="equal input_shape"):
        kphotoz("compare", *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run" / "jobs").exists()


def test_a_wrong_deployment_survey_is_refused_before_anything_is_trained(
    kphotoz, surveys, tiny, make_sample, tmp_path
):
    sample = make_sample(60, 5, bands="riz", tag="red")
    path = tmp_path / "red.npz"
    ids = np.asarray(sample.table["id"], str)
    np.savez(path, stamps=sample.inputs(), name=ids, zspec=sample.table["redshift"])
    reading = ["--bands=r,i,z", *surveys["data"][2:], "--json"]
    other = json.loads(kphotoz("data", "import", path, *reading))["survey"]
    arguments = ["compare", *surveys["data"], *tiny, "--regimes=random_forest"]
    arguments += ["--out", tmp_path / "run"]
    for name, words in (("cutouts/nowhere", "nowhere"), (other, "the bands of")):
        # The second command needs no --resume: the first one left nothing behind.
        with pytest.raises(InputError, match=words):
            kphotoz(*arguments, "--deploy", name)
        assert not (tmp_path / "run" / "jobs").exists()


def test_a_second_command_is_refused_while_results_are_written(
    kphotoz, surveys, tiny, tmp_path, monkeypatch
):
    out, told = tmp_path / "run", []
    arguments = ["compare", *surveys["data"], *tiny, "--regimes=random_forest"]
    arguments += ["--seeds=1", "--out", out]
    half = out / "figures" / f".bars.{os.getpid()}.partial.png"

    def draw(*_):
        if not told:
            half.parent.mkdir()
            half.touch()
            with pytest.raises(InputError) as caught:
                kphotoz(*arguments, "--resume")
            told.append(str(caught.value))
            assert half.exists()
            half.unlink()
        return []

    monkeypatch.setattr("kphotoz.report.write_figures", draw)
    kphotoz(*arguments)
    assert "Wait for its end" in told[0]
    kphotoz(*arguments, "--resume")  # it may, after the end

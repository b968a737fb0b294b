"""The command that times input and steps, on a survey of a few galaxies."""

import json

import keras
import pytest

from kphotoz.errors import InputError
from kphotoz.training import timing


@pytest.fixture(scope="module")
def survey(surveys, tmp_path_factory):
    """Name of an imported survey of 60 galaxies, 30 of which are for training."""
    from click.testing import CliRunner

    from kphotoz_cli.main import group

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        words = ["data", "import", str(surveys["paths"][0]), *surveys["data"][1:]]
        yield json.loads(CliRunner().invoke(group, [*words, "--json"]).stdout)["survey"]


@pytest.mark.large  # tests/training/test_timing.py shows the same
def test_input_tells_the_ratio_of_the_two_sides_in_one_run(kphotoz, survey):
    words = ["bench", "input", survey, "--batch-size=8", "--steps=2", "--repeats=2"]
    found = json.loads(kphotoz(*words, "--json"))
    seconds = found["step_seconds"]
    low, high = found["ratio_range"]
    assert found["ratio"] == pytest.approx((low + high) / 2)  # the median of two
    assert 0 < low <= high and found["steps"] == found["repeats"] == 2
    assert found["examples_per_second"]["survey"] == pytest.approx(
        8 / seconds["survey"]
    )
    assert found["environment"]["backend"] == keras.backend.backend()


@pytest.mark.large  # TensorFlow takes a minute to compile the network with XLA
def test_step_prints_a_line_for_each_side_and_the_fastest(kphotoz, survey):
    words = ["bench", "step", survey, "--batch-size=4", "--steps=1", "--repeats=1"]
    words += ["--precision=mixed_bfloat16"]
    *lines, last = kphotoz(*words).splitlines()
    jits = [", jit"] if keras.backend.backend() == "jax" else ["", ", jit"]
    wanted = [f"{p}{jit}" for p in ("float32", "mixed_bfloat16") for jit in jits]
    assert [line[:20].strip() for line in lines] == wanted
    assert last.removeprefix("Fastest: ").rstrip(".") in wanted


def test_a_survey_without_one_whole_batch_is_refused(kphotoz, survey):
    with pytest.raises(InputError, match="smaller --batch-size"):
        kphotoz("bench", "input", survey, "--batch-size=64")


@pytest.mark.parametrize(
    ("ratio", "told"),
    [(1.02, "does not wait"), (1.25, "waits for data 20%"), (None, "Not clear")],
)
def test_input_ends_in_a_verdict_of_one_line(kphotoz, survey, monkeypatch, ratio, told):
    median, fastest = (ratio, ratio) if ratio else (2.0, 1.0)
    found = {"ratio": median, "fastest_ratio": fastest, "ratio_range": [0.9, 2.1]}
    found |= {"step_seconds": {}, "examples_per_second": {}}
    monkeypatch.setattr(timing, "time_input", lambda *_, **__: found)
    line, verdict = kphotoz("bench", "input", survey).splitlines()
    assert line == f"survey over memory {median:.3f} (0.900 to 2.100)"
    assert told in verdict

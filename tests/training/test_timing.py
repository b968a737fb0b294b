"""How times are taken: in turns, the first one not counted, slow input noticed."""

import time

import keras
import pytest

from kphotoz.training import timing
from kphotoz.training.settings import Training

MODEL = {"name": "small_cnn", "branch": "photometry", "crop": 16}
MODEL |= {"photometry_units": [4], "head_units": [4], "radii": [1.5, 3.0, 6.0]}


def test_sides_take_turns_in_changing_order_after_one_that_warms_up():
    seen = []
    work = {name: lambda turn, name=name: seen.append((name, turn)) for name in "ab"}
    times = timing.alternate(work, 3)
    assert "".join(name for name, _ in seen) == "abbaabba"
    assert [turn for _, turn in seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [len(each) for each in times.values()] == [3, 3]


def test_seconds_are_those_of_the_work():
    work = {"long": lambda turn: time.sleep(0.03), "none": lambda turn: None}
    times = timing.alternate(work, 2)
    assert min(times["long"]) >= 0.03 > max(times["none"])


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_slow_survey_is_told_from_a_fast_one(make_sample, monkeypatch, delay):
    sample = make_sample(16, 1)
    gather = sample.__class__.gather

    def slowly(self, rows, *buffers):
        time.sleep(delay if len(rows) == 8 else 0)
        return gather(self, rows, *buffers)

    monkeypatch.setattr(sample.__class__, "gather", slowly)
    settings = Training(batch_size=8)
    found = timing.time_input(sample, MODEL, settings, steps=2, repeats=3)
    # Two readers at a time: two batches take one delay, on top of the work.
    added = found["step_seconds"]["survey"] - found["step_seconds"]["memory"]
    assert (added > 0.07) == bool(delay)
    assert (found["ratio"] > timing.WAITING) or not delay


@pytest.mark.parametrize(
    ("median", "fastest", "verdict"),
    [(1.02, 1.04, False), (1.5, 1.4, True), (2.1, 1.03, None), (1.0, 1.2, None)],
)
def test_a_busy_machine_gives_no_verdict(median, fastest, verdict):
    found = {"ratio": median, "fastest_ratio": fastest}
    assert timing.waits(found) is verdict


@pytest.mark.large  # TensorFlow takes long to compile even this with XLA
def test_steps_are_timed_with_and_without_jit_and_the_policy_stays(make_catalog):
    network = {"name": "catalog_mlp", "photometry_units": [4], "head_units": [4]}
    network |= {"quantile_bins": 2}
    given = make_catalog(12), network, Training(batch_size=8)
    # One precision: compiling with XLA takes seconds for each.
    found = timing.time_steps(*given, precisions=["mixed_bfloat16"], steps=1, repeats=1)
    jits = [", jit"] if keras.backend.backend() == "jax" else ["", ", jit"]
    names = [f"mixed_bfloat16{jit}" for jit in jits]
    assert list(found["step_seconds"]) == names and found["batch_size"] == 8
    for name, seconds in found["step_seconds"].items():
        assert found["examples_per_second"][name] == pytest.approx(8 / seconds)
    assert keras.config.dtype_policy().name == "float32"


def test_models_are_compiled_in_the_precision_and_with_the_jit_asked_for(make_catalog):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        settings = Training(batch_size=8)
        model = timing.compiled(
            make_catalog(12), {"name": "catalog_mlp"}, settings, jit=True
        )
    finally:
        keras.config.set_dtype_policy(before)
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    assert model.jit_compile and len(dense) > 1
    assert "bfloat16" in {layer.compute_dtype for layer in dense}

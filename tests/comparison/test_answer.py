import math

import pytest

from kphotoz.comparison import answer as answers
from kphotoz.report.rows import Pair, Row


def row(regime, value, fraction=1.0, sample="deployment", n_labels=100, metric="nmad"):
    return {
        "regime": regime,
        "fraction": fraction,
        "n_labels": n_labels,
        "sample": sample,
        "truth": "label",
        "metric": metric,
        "value": value,
        "error": 0.001,
    }


def pair(a, b, resolved, value):
    facts = {"sample": "deployment", "fraction": 1.0, "resolved": resolved}
    return {"a": a, "b": b, "value": value, "truth": "label", **facts}


def answer(rows, pairs, headline, seeds):
    pairs = [Pair.read({"metric": headline} | one) for one in pairs]
    return answers.answer(list(map(Row.read, rows)), pairs, headline, seeds)


def crossover(rows, *names):
    return answers.crossover(list(map(Row.read, rows)), *names)


def test_a_winner_is_named_only_when_resolved_against_every_other():
    rows = [row("lora", 0.02), row("full", 0.03), row("zero_shot", 0.05, 0.0)]
    resolved = [pair("full", "lora", True, 0.01)]
    resolved += [pair("lora", "zero_shot", True, -0.03)]
    assert "lora is best" in answer(rows, resolved, "nmad", 5)
    resolved[0]["resolved"] = False
    text = answer(rows, resolved, "nmad", 5)
    assert "not resolved against full" in text and "zero_shot" not in text


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("metric", ["nmad", "r2", "bias_median"])
def test_a_first_that_is_worse_on_the_common_objects_is_no_winner(metric, turned):
    """By its own objects `lora` is first; by those that both predict `full` is."""
    values = {"nmad": (0.02, 0.03), "r2": (0.9, 0.8), "bias_median": (0.01, -0.02)}
    lora, full = values[metric]
    worse = -0.05 if metric == "r2" else 0.05  # lora minus full; of biases the sizes
    found = pair("lora", "full", True, worse)
    if turned:
        found = pair("full", "lora", True, -worse)
    rows = [row(n, v, metric=metric) for n, v in (("lora", lora), ("full", full))]
    text = answer(rows, [found], metric, 5)
    assert "best" not in text and "lora is first" in text
    assert text.endswith("the objects that both predict, where full did better.")
    found["value"] = -found["value"]
    assert "lora is best" in answer(rows, [found], metric, 5)


def test_tied_and_turned_rivals_are_told_apart():
    rows = [row("lora", 0.02), row("full", 0.03), row("zero_shot", 0.05, 0.0)]
    pairs = [pair("lora", "full", True, 0.01), pair("lora", "zero_shot", False, -0.01)]
    text = answer(rows, pairs, "nmad", 5)
    assert "not resolved against zero_shot; the order differs" in text
    assert text.endswith("where full did better.")


def test_a_first_that_is_resolved_against_none_says_so_in_few_words():
    rows = [row("lora", 0.02), row("full", 0.03), row("zero_shot", 0.05, 0.0)]
    assert "not resolved against any other regime." in answer(rows, [], "nmad", 5)


def test_few_seeds_are_said():
    rows = [row("lora", 0.02), row("full", 0.03)]
    assert "seeds: 3" in answer(rows, [], "nmad", 3)


def test_a_regime_without_a_score_does_not_win():
    rows = [row("lora", math.nan), row("full", 0.03)]
    text = answer(rows, [], "nmad", 5)
    assert " full has " in text and text.endswith("; no score for lora.")
    assert "full, the only regime" in answer(rows[1:], [], "nmad", 5)
    rows += [row("zero_shot", 0.05, 0.0)]
    text = answer(rows, [pair("full", "zero_shot", True, -0.02)], "nmad", 5)
    assert "resolved against all others that have a score; no score for lora." in text
    assert answer(rows, [], "nmad", 1).endswith("; no score for lora.")


def test_crossover_is_interpolated_in_the_logarithm_of_the_label_count():
    # Leads of -0.01 at 10 labels and +0.01 at 1000: halfway in the logarithm is 100.
    rows = [
        row("from_scratch", 0.05, 0.01, "target", 10),
        row("lora", 0.04, 0.01, "target", 10),
        row("from_scratch", 0.02, 1.0, "target", 1000),
        row("lora", 0.03, 1.0, "target", 1000),
    ]
    found = crossover(rows, ["lora", "full"], "nmad")
    assert found["labels"] == 100
    assert "overtakes" in found["text"]


@pytest.mark.parametrize(("scratch", "text"), [(0.09, "adaptation"), (0.01, "from_sc")])
def test_no_crossover_says_who_leads_everywhere(scratch, text):
    rows = [
        row(name, value, fraction, "target", labels)
        for fraction, labels in ((0.1, 10), (1.0, 100))
        for name, value in (("from_scratch", scratch), ("full", 0.04))
    ]
    found = crossover(rows, ["full"], "nmad")
    assert found["labels"] is None and found["text"].startswith(text)


def test_one_fraction_has_no_crossover():
    assert crossover([row("from_scratch", 0.1)], ["full"], "nmad") is None


# Scatters at 10 and 1000 labels, of which `lora` is the better adapted regime and
# `from_scratch` the best at last: with any metric the crossing lies halfway, at 100.
SIZES = {"from_scratch": (0.05, 0.02), "lora": (0.04, 0.03), "full": (0.09, 0.08)}


@pytest.mark.parametrize(
    ("metric", "measured"),
    [
        ("nmad", lambda size, regime: size),
        ("r2", lambda size, regime: 1 - size),
        ("r2", lambda size, regime: -size),  # all worse than the mean redshift
        ("bias_median", lambda size, regime: -size),
        ("bias_mean", lambda size, regime: size if regime == "lora" else -size),
    ],
)
def test_an_order_is_the_same_in_whatever_metric_it_is_told(metric, measured):
    rows = [
        row(name, measured(size, name), fraction, sample, labels, metric)
        for name, sizes in SIZES.items()
        for size, fraction, labels in zip(sizes, (0.01, 1.0), (10, 1000), strict=True)
        for sample in ("target", "deployment")
    ]
    found = crossover(rows, ["lora", "full"], metric)
    assert [point["best"] for point in found["points"]] == ["lora", "lora"]
    assert found["labels"] == 100
    assert found["points"][0]["adapted"] == measured(0.04, "lora")
    assert "from_scratch is first" in answer(rows, [], metric, 5)


def test_a_count_at_which_nothing_could_be_measured_is_left_out():
    rows = [
        row(name, value, fraction, "target", labels)
        for fraction, labels, values in (
            (0.01, 10, (float("nan"), 0.05)),
            (0.1, 100, (0.03, 0.04)),
            (1.0, 1000, (0.03, 0.02)),
        )
        for name, value in zip(("from_scratch", "lora"), values, strict=True)
    ]
    found = crossover(rows, ["lora"], "nmad", "target")
    assert [point["n_labels"] for point in found["points"]] == [100, 1000]

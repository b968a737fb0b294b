import pytest

from kphotoz.comparison.remarks import remarks
from kphotoz.report.rows import Pair, Row


def row(regime, metric, value, sample="target", fraction=1.0, seeds=5):
    return {
        "regime": regime,
        "fraction": 0.0 if regime == "zero_shot" else fraction,
        "sample": sample,
        "truth": "label",
        "metric": metric,
        "value": value,
        "error": 0.0001,
        "window": None,
        "seeds": seeds,
    }


def pair(a, b, metric, value, resolved, sample="target"):
    facts = {"fraction": 1.0, "sample": sample, "truth": "label", "metric": metric}
    return {"a": a, "b": b, **facts, "value": value, "resolved": resolved}


ROWS = [
    row("zero_shot", "nmad", 0.0126),
    row("zero_shot", "bias_median", 0.0023),
    row("full", "nmad", 0.0125),
    row("full", "bias_median", 0.0),
    row("lora", "nmad", 0.0130),
    row("random_forest", "nmad", 0.0125),
]


def said(pairs, rows=ROWS):
    rows, pairs = list(map(Row.read, rows)), list(map(Pair.read, pairs))
    return remarks(
        rows, pairs, "nmad", adapted=["full", "lora"], forests=["random_forest"]
    )


def test_a_bias_that_moved_while_the_scatter_stayed_is_said():
    (sentence,) = said(
        [
            pair("zero_shot", "full", "nmad", 0.0001, False),
            pair("zero_shot", "full", "bias_median", 0.0023, True),
        ]
    )
    assert sentence.startswith("On the target sample adaptation (full) moved the bias")
    assert "from 0.0023 ± 0.0001 to 0.0000 ± 0.0001" in sentence
    assert "nmad did not change resolvably (0.0126 ± 0.0001 before" in sentence
    assert "the base's labels already gave that scatter" in sentence


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.005, "lowered nmad from 0.0126"), (-0.005, "raised nmad from 0.0126")],
)
def test_a_scatter_that_changed_is_said_with_its_direction(value, words):
    # zero_shot minus full: positive means that adaptation is better.
    (sentence,) = said([pair("zero_shot", "full", "nmad", value, True)])
    assert words in sentence


def test_nothing_resolved_is_said_as_such():
    (sentence,) = said(
        [
            pair("full", "zero_shot", "nmad", -0.0001, False),
            pair("full", "zero_shot", "bias_median", -0.0023, False),
        ]
    )
    assert "moved nothing resolvably" in sentence


def test_forgetting_and_the_forest_are_told():
    rows = [*ROWS, row("zero_shot", "nmad", 0.03, "source")]
    rows += [row("full", "nmad", 0.05, "source")]
    sentences = said(
        [
            pair("zero_shot", "full", "nmad", 0.005, True),
            pair("zero_shot", "full", "nmad", -0.02, True, "source"),
            pair("full", "random_forest", "nmad", 0.0, False),
        ],
        rows,
    )
    assert len(sentences) == 3
    assert "forgets" in sentences[1] and "0.0300" in sentences[1]
    assert "full (nmad 0.0125" in sentences[2]
    assert "cannot be told from the best forest, random_forest" in sentences[2]


def test_four_seeds_teach_nothing():
    pairs = [pair("zero_shot", "full", "nmad", 0.005, False)]
    assert said(pairs, [{**r, "seeds": 4} for r in ROWS]) == []


def test_without_a_base_or_pairs_nothing_is_said():
    assert said([]) == []
    assert said([], []) == []


def test_rows_of_another_window_are_not_quoted():
    other = [{**r, "window": "0 < z_pred ≤ 1", "value": 9.0} for r in ROWS]
    pairs = [pair("zero_shot", "full", "nmad", 0.005, True)]
    (sentence,) = said(pairs, ROWS + other)
    assert "9.0" not in sentence


def test_a_bias_that_moved_with_the_scatter_is_said_in_the_same_sentence():
    (sentence,) = said(
        [
            pair("zero_shot", "full", "nmad", 0.005, True),
            pair("zero_shot", "full", "bias_median", 0.0023, True),
        ]
    )
    assert "lowered nmad from 0.0126" in sentence
    assert "and moved the bias from 0.0023 ± 0.0001 to 0.0000" in sentence

"""Lines of a comparison as values, and as they stand in comparison.json."""

import json
import math

import pytest

from kphotoz.errors import InputError
from kphotoz.metrics import Window
from kphotoz.report.rows import Cost, Pair, Row

# As version 0.1 wrote them, but for the names and numbers.
ROW = {
    "regime": "lora",
    "fraction": 0.1,
    "n_labels": 64,
    "sample": "target",
    "truth": "label",
    "window": "0.3 < z_true ≤ 1.5",
    "metric": "nmad",
    "value": 0.02,
    "error": 0.001,
    "n": 300,
    "excluded": {"label negative": 1},
    "flagged": {},
    "note": "",
    "seeds": 5,
}
PAIR = {key: ROW[key] for key in ("fraction", "sample", "truth", "window", "metric")}
PAIR |= {"a": "lora", "b": "full", "value": -0.01, "error": 0.002, "n": 300}
PAIR |= {"resolved": True}


@pytest.mark.parametrize("part", [{}, {"by": "magnitude", "stratum": "20 to 22"}])
def test_rows_and_pairs_are_written_as_they_were_read(part):
    assert Row.read(ROW | part).as_dict() == ROW | part
    assert Pair.read(PAIR | part).as_dict() == PAIR | part


def test_a_window_is_a_value_and_text_only_in_files():
    assert Row.read(ROW).window == Window(0.3, 1.5, "z_true")
    with pytest.raises(InputError, match="a window such as.*'all'"):
        Row.read(ROW | {"window": "all"})


def test_what_learns_no_label_has_no_fraction_and_is_written_as_zero():
    for fraction in (0.0, None):
        row = Row.read(ROW | {"fraction": fraction})
        assert row.fraction is None and row.as_dict()["fraction"] == 0.0
    assert Cost.read({"regime": "zero_shot", "fraction": 0.0}).fraction is None


def test_numbers_that_json_lacks_are_no_score():
    row = Row.read(json.loads(json.dumps(ROW | {"value": None, "error": None})))
    assert math.isnan(row.value) and not row.is_scored


def test_the_labels_themselves_are_of_no_regime():
    row = Row.read({key: ROW[key] for key in ROW if key != "regime"})
    assert not {"regime", "fraction", "n_labels"} & row.as_dict().keys()


def test_a_turned_pair_says_the_same():
    pair = Pair.read(PAIR)
    other = pair.turned("full")
    assert (other.a, other.b, other.value) == ("full", "lora", 0.01)
    assert other.sides == pair.sides and other.turned("lora") == pair

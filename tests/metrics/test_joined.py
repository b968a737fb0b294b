import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.metrics.joined import Side, join


def side(ids, pred=None, true=None, **more):
    ids = np.array(ids, str)
    pred = np.arange(ids.size, dtype=float) if pred is None else np.array(pred, float)
    return Side(ids, pred, None if true is None else np.array(true, float), more)


def test_tables_meet_on_common_ids_whatever_their_order():
    found = join(
        {
            "A": side(["c", "a", "b", "x"], [3, 1, 2, 9], [0.3, 0.1, 0.2, 0.9]),
            "B": side(["a", "b", "c"], [10, 20, 30]),
            "C": side(["b", "y", "c", "z", "a"], [200, 0, 300, 0, 100]),
        }
    )
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.preds["A"].tolist() == [1, 2, 3]
    assert found.preds["C"].tolist() == [100, 200, 300]
    assert found.truth.tolist() == [0.1, 0.2, 0.3]
    assert found.left_out == {
        "A": {"not in every table": 1}, "B": {}, "C": {"not in every table": 2}
    }  # fmt: skip


def test_ids_of_nineteen_digits_that_share_a_float64_are_told_apart():
    near = ["1237648720693755918", "1237648720693755919"]
    assert float(near[0]) == float(near[1])
    found = join({"A": side(near, [1, 2], [0.1, 0.2]), "B": side(near[1:], [7])})
    assert found.ids.tolist() == near[1:]
    assert found.preds["A"].tolist() == [2] and found.truth.tolist() == [0.2]


def test_rows_without_an_id_are_counted():
    found = join({"A": side(["a", "", ""], true=[1, 1, 1]), "B": side(["a", ""])})
    assert found.left_out["A"] == {"without an id": 2}
    assert found.left_out["B"] == {"without an id": 1}


def test_an_id_that_stands_twice_is_refused_with_its_table():
    with pytest.raises(InputError, match="each id once in B. Received: 1 ids.*'b'"):
        join({"A": side(["a", "b"], true=[1, 1]), "B": side(["b", "a", "b"])})


def test_tables_without_a_common_object_show_their_ids():
    with pytest.raises(InputError, match="A: 1, 2; B: 1.0, 2.0"):
        join({"A": side(["1", "2"], true=[1, 1]), "B": side(["1.0", "2.0"])})


def test_different_truths_are_refused_beyond_the_tolerance_and_counted_within():
    sides = {
        "A": side(["a", "b", "c"], true=[0.5, 1.0, 2.0]),
        "B": side(["a", "b", "c"], true=[0.5, 1.001, 2.0]),
    }
    with pytest.raises(InputError, match="1 of 3 objects.*'b': A 1, B 1.001"):
        join(sides)
    found = join(sides, tolerance=0.01)
    assert found.truths_differ == 1
    assert found.largest == pytest.approx(0.001, abs=1e-12)
    assert found.truth.tolist() == [0.5, 1.0, 2.0]


def test_a_truth_that_one_table_lacks_is_taken_from_the_next():
    sides = {
        "A": side(["a", "b"], true=[np.nan, 1.0]),
        "B": side(["a", "b"], true=[0.4, np.nan]),
    }
    assert join(sides).truth.tolist() == [0.4, 1.0]
    with pytest.raises(InputError, match="a reference redshift in at least one"):
        join({"A": side(["a"]), "B": side(["a"])})


def test_other_columns_come_from_the_first_table_that_has_them():
    sides = {
        "A": side(["b", "a"], true=[1, 1], mag=np.array([22.0, 21.0])),
        "B": side(["a", "b"], mag=np.array([1.0, 2.0]), kind=np.array(["x", "y"])),
    }
    found = join(sides)
    assert found.more["mag"].tolist() == [21.0, 22.0]
    assert found.more["kind"].tolist() == ["x", "y"]

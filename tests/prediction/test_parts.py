"""Shards of a killed prediction: what is damaged is done again, not believed."""

import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.prediction.parts import Parts

PLAN = {"inputs": ["a.h5"], "batch_size": 3}


@pytest.fixture
def out(tmp_path):
    out = tmp_path / "out.parquet"
    Parts(out, PLAN, False).write(
        "0", np.arange(3, dtype="f4"), np.array(["", "a", ""])
    )
    return out


def test_a_whole_shard_is_read_again(out):
    z_pred, flags = Parts(out, PLAN, True).read("0", 3)
    np.testing.assert_array_equal(z_pred, [0, 1, 2])
    assert flags.tolist() == ["", "a", ""] and flags.dtype == object


@pytest.mark.parametrize(
    "columns",
    [
        {"z_pred": np.arange(3, dtype="f8"), "flag": np.array(["", "", ""])},
        {"z_pred": np.arange(2, dtype="f4"), "flag": np.array(["", ""])},
        {"z_pred": np.arange(3, dtype="f4"), "flag": np.arange(3)},
        {"z_pred": np.arange(3, dtype="f4")},
        {"z_pred": np.array([print] * 3, object), "flag": np.array(["", "", ""])},
    ],
)
def test_a_shard_of_another_kind_counts_as_not_finished(out, columns):
    parts = Parts(out, PLAN, True)
    np.savez(parts.folder / "0.npz", **columns)
    assert parts.read("0", 3) is None


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 9000])
def test_a_damaged_plan_is_another_plan(out, content):
    parts = Parts(out, PLAN, True)
    (parts.folder / "plan.json").write_bytes(content)
    with pytest.raises(InputError, match="another inputs, batch_size"):
        Parts(out, PLAN, True)

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table
from click.testing import CliRunner
from pyarrow import parquet

from kphotoz import metrics
from kphotoz.errors import InputError
from kphotoz.evaluation.table_spec import parse
from kphotoz_cli.evaluate import command

N = 300
# Neighbours share a float64, so that rounding would mix them up.
IDS = 1237648720693755904 + np.arange(N)


@pytest.fixture
def truth():
    return np.random.default_rng(1).uniform(0.1, 2.0, N)


def predicted(truth, scatter, seed):
    noise = np.random.default_rng(seed).normal(size=truth.size)
    return truth + scatter * (1 + truth) * noise


@pytest.fixture
def tables(truth, tmp_path):
    """A CSV, a FITS and a parquet file with other names, orders and objects."""
    paths = [tmp_path / name for name in ("A.csv", "B.fits", "C.parquet")]
    kind = np.where(np.arange(N) % 3, "red", "blue")
    a = {"objid": IDS, "zphot": predicted(truth, 0.05, 2), "zspec": truth, "kind": kind}
    Table(a).write(paths[0])
    order = np.random.default_rng(3).permutation(N)[:280]
    b = {"ID": IDS[order], "PHOTOZ": predicted(truth, 0.02, 4)[order]}
    Table(b).write(paths[1])
    c = {"id": IDS[5:].astype(str), "z_pred": predicted(truth, 0.05, 5)[5:]}
    c |= {"redshift": truth[5:].astype(np.float32)}
    parquet.write_table(pa.table(c), paths[2])
    words = [f"{paths[0]}:pred=zphot,true=zspec,id=objid"]
    words += [f"{paths[1]}:pred=PHOTOZ,id=ID", str(paths[2])]
    return words, np.sort(order[order >= 5])


def run(*arguments, words=("--json", "--draws", "50")):
    given = [str(word) for word in [*arguments, *words]]
    result = CliRunner().invoke(command, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_three_tables_are_scored_on_their_common_objects(tables, truth):
    paths, common = tables
    found = json.loads(run(*paths))
    assert found["common"] == found["used"] == common.size
    assert [one["rows"] for one in found["tables"]] == [300, 280, 295]
    assert found["tables"][0]["left_out"] == {"not in every table": 300 - common.size}
    for name, scatter, seed in (("A", 0.05, 2), ("B", 0.02, 4), ("C", 0.05, 5)):
        for row in (r for r in found["rows"] if r["table"] == name):
            pred = predicted(truth, scatter, seed)[common]
            wanted = metrics.POINT[row["metric"]](pred, truth[common])
            assert row["value"] == pytest.approx(wanted, abs=1e-12)
            assert row["n"] == common.size
    # Truths of float32 differ by rounding, which is told and forgiven.
    assert found["truths_differ"] > 0
    assert found["largest_difference_of_truths"] < 1e-6


def test_differences_are_paired_on_the_same_objects(tables, truth):
    paths, common = tables
    found = json.loads(run(*paths, "--metrics", "nmad"))["differences"]
    assert [(one["a"], one["b"]) for one in found] == [
        ("A", "B"), ("A", "C"), ("B", "C")
    ]  # fmt: skip
    a, b = predicted(truth, 0.05, 2)[common], predicted(truth, 0.02, 4)[common]
    wanted = metrics.nmad(a, truth[common]) - metrics.nmad(b, truth[common])
    assert found[0]["value"] == pytest.approx(wanted, abs=1e-12)
    assert found[0]["beyond_2_errors"] and not found[1]["beyond_2_errors"]
    assert "retrain" in found[0]["note"] or "another training" in found[0]["note"]


def test_a_prediction_unusable_in_one_table_leaves_all_and_is_named(truth, tmp_path):
    paths = []
    for place, name in enumerate("AB"):
        pred = predicted(truth, 0.05, place)
        if name == "B":
            pred[:4] = np.nan, -99, -99, -0.5
        path = tmp_path / f"{name}.csv"
        Table({"id": IDS, "z_pred": pred, "redshift": truth}).write(path)
        paths.append(path)
    found = json.loads(run(*paths, "--grid", "0:1.5"))
    assert found["common"] == N and found["used"] == N - 3
    rows = {row["table"]: row for row in found["rows"]}
    for row in rows.values():
        assert row["n"] == N - 3
        assert row["excluded"] == {
            "B: prediction non_finite": 1, "B: prediction ≤ −1": 2
        }  # fmt: skip
    assert rows["B"]["flagged"]["prediction negative"] == 1
    assert rows["A"]["flagged"]["label out_of_grid"] == np.count_nonzero(
        truth[3:] > 1.5
    )


def test_windows_parts_and_weights_are_those_of_the_common_objects(tables, truth):
    paths, common = tables
    words = ("--window", "0.3:1.5", "--by", "kind", "--metrics", "mae")
    found = json.loads(run(*paths, *words))
    windows = {row["window"] for row in found["rows"]}
    assert windows == {"0.3 < z_true ≤ 1.5", "0.3 < z_pred ≤ 1.5"}
    inside = (truth[common] > 0.3) & (truth[common] <= 1.5)
    red = common % 3 != 0
    sizes = {
        row["stratum"]: row["n"]
        for row in found["rows"]
        if row["window"].startswith("0.3 < z_true") and row["table"] == "B"
    }
    assert sizes == {
        "all": inside.sum(),
        "kind = red": (inside & red).sum(),
        "kind = blue": (inside & ~red).sum(),
    }


def test_one_table_may_have_a_spec_too(tables, truth):
    row = json.loads(run(tables[0][0]))["rows"][0]
    assert row["n"] == N and "table" not in row


def test_where_chooses_one_run_of_a_mixed_table(tables, truth, tmp_path):
    path = tmp_path / "D.parquet"
    parts = [{"id": IDS.astype(str), "z_pred": predicted(truth, 0.05, s),
              "regime": np.repeat(name, N), "redshift": truth}
             for name, s in (("lora", 8), ("full", 9))]  # fmt: skip
    merged = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    parquet.write_table(pa.table(merged), path)
    with pytest.raises(InputError, match="each id once in D.*300 ids"):
        run(tables[0][0], path)
    found = json.loads(run(tables[0][0], path, "--where", "regime=full"))
    assert found["common"] == N
    wanted = metrics.nmad(predicted(truth, 0.05, 9), truth)
    row = next(r for r in found["rows"] if (r["table"], r["metric"]) == ("D", "nmad"))
    assert row["value"] == pytest.approx(wanted, abs=1e-12)


def test_samples_of_a_fit_are_not_joined_into_one(truth, tmp_path):
    sample = np.where(np.arange(N) < 100, "source", "target")
    paths = [tmp_path / f"{name}.parquet" for name in "AB"]
    for seed, path in enumerate(paths):
        columns = {"sample": sample, "id": IDS.astype(str), "z_label": truth}
        columns |= {"z_pred": predicted(truth, 0.05, seed)}
        parquet.write_table(pa.table(columns), path)
    with pytest.raises(InputError, match="A.parquet that mixes several.*of sample"):
        run(*paths)
    assert json.loads(run(*paths, "--where", "sample=target"))["common"] == N - 100


def test_exposures_of_one_object_are_drawn_together(truth, tmp_path):
    paths = []
    for copies in (1, 3):
        for name in "AB":
            columns = {"z_pred": predicted(truth, 0.05, ord(name)), "redshift": truth}
            columns = {key: np.repeat(v, copies) for key, v in columns.items()}
            columns["id"] = 10 * np.repeat(IDS // 10, copies) + np.arange(N * copies)
            columns["source"] = np.repeat(IDS, copies)
            paths.append(tmp_path / f"{name}{copies}.parquet")
            parquet.write_table(pa.table(columns), paths[-1])
    words = ("--metrics", "nmad")
    wanted = json.loads(run(*paths[:2], *words))
    found = json.loads(run(*paths[2:], *words, "--group", "source"))
    assert (found["group"], wanted["group"]) == ("source", None)
    for part in ("rows", "differences"):
        errors = [[one["error"] for one in side[part]] for side in (found, wanted)]
        assert errors[0] == pytest.approx(errors[1])


def test_csv_and_json_hold_rows_and_differences(tables, tmp_path):
    paths, _ = tables
    printed = json.loads(run(*paths, "--out", tmp_path / "found.json"))
    assert json.loads((tmp_path / "found.json").read_text()) == printed
    run(*paths, "--out", tmp_path / "found.csv")
    with open(tmp_path / "found.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(printed["rows"]) + len(printed["differences"])
    last = printed["differences"][-1]
    assert (lines[-1]["table"], lines[-1]["minus"]) == (last["a"], last["b"])
    assert float(lines[-1]["value"]) == last["value"]
    assert lines[0]["minus"] == ""


def test_terminal_names_tables_counts_and_verdicts(tables):
    text = (
        CliRunner()
        .invoke(command, [*tables[0], "--draws", "30"], env={"COLUMNS": "200"})
        .output
    )
    for wanted in ("objid", "PHOTOZ", "not in every table", "objects in every table",
                   "B better", "within 2 errors", "truths that differ"):  # fmt: skip
        assert wanted in text, wanted


@pytest.mark.parametrize(
    "changes, words, told",
    [
        ({"id": IDS.astype(float)}, (), "too big to be exact"),
        ({"id": np.arange(N) + 0.5}, (), "floats that are broken"),
        ({"redshift": np.full(N, 0.7)}, (), "one truth for each object"),
        ({"id": np.arange(N)}, (), "objects that all tables have"),
        ({}, ("--id", "objid"), "without a column 'objid'"),
        ({}, ("--by", "kindd"), "Unknown column"),
        ({}, ("--where", "regim=lora"), "Unknown column"),
        ({}, ("--true", "zspecc"), "Unknown column"),
        ({}, ("--group", "sorce"), "Unknown column"),
        ({}, ("--pred", "zp"), "Unknown column"),
        ({}, ("--grid", "4:0"), "low < high"),
        ({"z_pred": np.full(N, -99.0)}, (), "none of .* common ones .*B: prediction"),
    ],
)
def test_tables_that_do_not_fit_are_refused(changes, words, told, truth, tmp_path):
    columns = {"id": IDS, "z_pred": truth + 0.1, "redshift": truth}
    for name, table in (("A", columns), ("B", columns | changes)):
        parquet.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=told):
        run(tmp_path / "A.parquet", tmp_path / "B.parquet", *words)


def test_two_tables_of_one_name_need_names(tables):
    path = tables[0][2]
    with pytest.raises(InputError, match="two called 'C'.*name=BPZ"):
        run(path, path)
    found = json.loads(run(f"{path}:name=one", f"{path}:name=two"))
    assert all(d["value"] == 0 for d in found["differences"])


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("a/b.csv", ("a/b.csv", None, None, None, "b")),
        ("A.fits:id=ID", ("A.fits", None, None, "ID", "A")),
        ("c:d.csv:pred=z b,true=z,name=x", ("c:d.csv", "z b", "z", None, "x")),
        ("c:d.csv", ("c:d.csv", None, None, None, "c:d")),
    ],
)
def test_a_spec_is_read_from_the_right(text, wanted):
    spec = parse(text)
    assert (str(spec.path), spec.pred, spec.true, spec.id, spec.name) == wanted


def test_an_unknown_key_of_a_spec_is_refused():
    with pytest.raises(InputError, match="Did you mean pred"):
        parse("A.csv:predd=x")


@pytest.mark.parametrize("suffix", ["csv", "fits", "parquet", "ecsv"])
def test_ids_keep_all_their_digits_in_every_format(suffix, tmp_path):
    from kphotoz.tables import read_table

    path = tmp_path / f"ids.{suffix}"
    big = np.array([2**63 + 1, 7, 2**64 - 1], np.uint64)
    if suffix == "parquet":
        parquet.write_table(pa.table({"id": big}), path)
    else:
        Table({"id": big}).write(path)
    found = read_table(path, text=("id",))["id"]
    assert found.tolist() == ["9223372036854775809", "7", "18446744073709551615"]


def test_missing_ids_do_not_round_the_others(tmp_path):
    from kphotoz.tables import read_table

    path = tmp_path / "ids.parquet"
    parquet.write_table(pa.table({"id": pa.array([IDS[1].item(), None])}), path)
    assert read_table(path, text=("id",))["id"].tolist() == [str(IDS[1]), ""]
    Table({"id": np.ma.masked_array([IDS[1], 0], [False, True])}).write(
        tmp_path / "ids.ecsv"
    )
    found = read_table(tmp_path / "ids.ecsv", text=("id",))["id"]
    assert found.tolist() == [str(IDS[1]), ""]

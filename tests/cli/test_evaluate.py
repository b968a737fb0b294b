import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import Table
from click.testing import CliRunner
from pyarrow import parquet

from kphotoz import metrics
from kphotoz.errors import InputError
from kphotoz_cli.evaluate import command


@pytest.fixture
def columns():
    generator = np.random.default_rng(6)
    z = generator.uniform(0.1, 2.0, 200)
    return {
        "Z_SPEC": z,
        "PHOTOZ": z + 0.05 * (1 + z) * generator.normal(size=200),
        "mag": 20 + 2 * z,
        "kind": np.where(np.arange(200) % 4, "red", "blue"),
        "w": generator.uniform(0.5, 2.0, 200),
    }


@pytest.fixture
def table(columns, tmp_path):
    path = tmp_path / "table.csv"
    Table(columns).write(path)
    return path


def run(*arguments):
    """Returns the JSON of a run; errors are raised as they are."""
    words = [str(word) for word in arguments]
    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


NAMES = ("--true", "Z_SPEC", "--pred", "PHOTOZ", "--json", "--draws", 50)


@pytest.mark.parametrize("suffix", ["csv", "fits", "parquet", "ecsv"])
def test_any_format_gives_the_same_metrics(columns, suffix, tmp_path):
    path = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        Table(columns).write(path)
    rows = run(path, *NAMES)["rows"]
    assert [row["metric"] for row in rows] == list(metrics.DEFAULT)
    for row in rows:
        wanted = metrics.POINT[row["metric"]](columns["PHOTOZ"], columns["Z_SPEC"])
        assert row["value"] == pytest.approx(wanted, abs=1e-12)
        assert row["n"] == 200 and row["stratum"] == "all"


def test_both_windows_are_shown_unless_one_is_named(table, columns):
    rows = run(table, *NAMES, "--window", "0.3:1.5", "--metrics", "nmad")["rows"]
    assert [r["window"] for r in rows] == ["0.3 < z_true ≤ 1.5", "0.3 < z_pred ≤ 1.5"]
    for row, name in zip(rows, ("Z_SPEC", "PHOTOZ"), strict=True):
        inside = (columns[name] > 0.3) & (columns[name] <= 1.5)
        assert row["n"] == inside.sum()
    rows = run(
        table, *NAMES, "--window", "0.3:1.5", "--window-on", "z_pred",
        "--metrics", "nmad",
    )["rows"]  # fmt: skip
    assert [row["window"] for row in rows] == ["0.3 < z_pred ≤ 1.5"]


def test_parts_by_category_edges_and_quartiles(table, columns):
    rows = run(
        table, *NAMES, "--metrics", "nmad", "--by", "kind", "--by", "mag:20,21,22",
        "--by", "w",
    )["rows"]  # fmt: skip
    sizes = {row["stratum"]: row["n"] for row in rows}
    assert sizes["kind = blue"] == 50 and sizes["kind = red"] == 150
    inside = (columns["mag"] > 20) & (columns["mag"] <= 21)
    assert sizes["20 < mag ≤ 21"] == inside.sum()
    # What is beyond the edges stays visible.
    assert sizes["mag in none of these"] == (columns["mag"] > 22).sum()
    assert sum(n for name, n in sizes.items() if "w ≤" in name) == 200


def test_small_part_is_null_and_says_so(table):
    rows = run(table, *NAMES, "--metrics", "nmad", "--by", "mag:20,20.21,24")["rows"]
    small = next(row for row in rows if row["stratum"] == "20 < mag ≤ 20.21")
    assert small["value"] is None and small["note"] == "fewer than 20 objects"


@pytest.mark.parametrize("lost", ["label", "negative", "prediction", "weight"])
@pytest.mark.parametrize("left", [0, 1, 19, 20])
def test_a_part_of_few_usable_objects_has_no_number(columns, lost, left, tmp_path):
    blue = np.flatnonzero(columns["kind"] == "blue")[left:]
    column, value = {
        "label": ("Z_SPEC", np.nan),
        "negative": ("Z_SPEC", -9.0),
        "prediction": ("PHOTOZ", -99.0),
        "weight": ("w", 0.0),
    }[lost]
    columns[column][blue] = value
    path = tmp_path / "table.csv"
    Table(columns).write(path)
    words = ("--metrics", "nmad", "--by", "kind", "--weight", "w")
    rows = {row["stratum"]: row for row in run(path, *NAMES, *words)["rows"]}
    one = rows["kind = blue"]
    assert one["n"] == (left if lost != "weight" or left < 20 else 50)
    assert (one["value"] is None) is (left < 20)
    assert (one["note"] == "fewer than 20 objects") is (left < 20)
    assert rows["kind = red"]["n"] == 150 and rows["kind = red"]["value"] > 0


def test_weights_change_the_value_and_tell_the_effective_size(table, columns):
    (row,) = run(table, *NAMES, "--metrics", "mae", "--weight", "w")["rows"]
    error = np.abs(columns["PHOTOZ"] - columns["Z_SPEC"])
    wanted = np.average(error, weights=columns["w"])
    assert row["value"] == pytest.approx(wanted, abs=1e-12)
    assert row["n_effective"] == pytest.approx(metrics.effective_size(columns["w"]))


def test_own_tables_need_no_column_names(columns, tmp_path):
    ours = {"z_pred": columns["PHOTOZ"], "redshift": columns["Z_SPEC"]}
    path = tmp_path / "predictions.parquet"
    parquet.write_table(pa.table(ours), path)
    assert run(path, "--json", "--draws", 0)["true"] == "redshift"
    # True redshifts win where they are known, and do not where they are all NaN.
    for value, wanted in ((np.nan, "redshift"), (0.5, "z_true")):
        table = pa.table({**ours, "z_true": np.full(200, value)})
        parquet.write_table(table, path)
        assert run(path, "--json", "--draws", 0)["true"] == wanted


def test_a_column_called_z_is_never_guessed(columns, tmp_path):
    path = tmp_path / "table.csv"
    Table({"z": columns["Z_SPEC"], "z_phot": columns["PHOTOZ"]}).write(path)
    with pytest.raises(InputError, match="--pred and --true.*columns: z, z_phot"):
        run(path)


def test_exposures_of_one_object_are_drawn_together(columns, tmp_path):
    whole, once = tmp_path / "exposures.parquet", tmp_path / "once.parquet"
    parquet.write_table(pa.table(columns), once)
    copies = {key: np.repeat(values, 4) for key, values in columns.items()}
    copies["group"] = copies["source"] = [f"o{row // 4}" for row in range(800)]
    copies["row"] = np.arange(800)
    parquet.write_table(pa.table(copies), whole)
    words = (*NAMES, "--metrics", "nmad", "--by", "kind")
    wanted = [row["error"] for row in run(once, *words)["rows"]]
    for more, name in (((), "group"), (("--group", "source"), "source")):
        found = run(whole, *words, *more)
        assert found["group"] == name
        assert [row["error"] for row in found["rows"]] == pytest.approx(wanted)
        assert [row["n"] for row in found["rows"]] == [800, 200, 600]
    rows = run(whole, *words, "--group", "row")["rows"]
    assert rows[0]["error"] == pytest.approx(wanted[0] / 2, rel=0.3)
    assert run(once, *words)["group"] is None
    given = [str(whole), *map(str, NAMES[:4]), "--draws", "20"]
    shown = CliRunner().invoke(command, given, env={"COLUMNS": "200"}).output
    assert "rows of one 'group' together" in shown and "N_eff" in shown


def test_mixed_runs_are_refused_until_one_is_chosen(columns, tmp_path):
    path = tmp_path / "predictions.parquet"
    runs = {"regime": np.repeat(["lora", "full"], 100), "seed": np.tile([0, 1], 100)}
    ours = {"z_pred": columns["PHOTOZ"], "z_label": columns["Z_SPEC"], **runs}
    parquet.write_table(pa.table(ours), path)
    with pytest.raises(InputError, match="regime, seed.*--where regime=lora"):
        run(path, "--json")
    with pytest.raises(InputError, match="values of seed"):
        run(path, "--json", "--by", "regime")
    rows = run(path, "--json", "--where", "seed=1", "--by", "regime")["rows"]
    assert {row["stratum"]: row["n"] for row in rows} == {
        "all": 100, "regime = full": 50, "regime = lora": 50
    }  # fmt: skip


def test_the_two_samples_of_a_fit_are_refused_until_one_is_chosen(columns, tmp_path):
    path = tmp_path / "predictions.parquet"
    target = np.arange(200) % 2 == 0
    ours = {
        "sample": np.where(target, "target", "source"),
        "id": [f"o{row}" for row in range(200)],
        "z_label": columns["Z_SPEC"],
        "z_true": np.full(200, np.nan),
        "z_pred": columns["PHOTOZ"] + 0.5 * ~target,
    }
    parquet.write_table(pa.table(ours), path)
    with pytest.raises(InputError, match="values of sample.*--where sample=target"):
        run(path, "--json")
    words = ("--json", "--draws", 50, "--metrics", "mae")
    (row,) = run(path, *words, "--where", "sample=target")["rows"]
    error = np.abs(columns["PHOTOZ"] - columns["Z_SPEC"])[target]
    assert row["value"] == pytest.approx(error.mean(), abs=1e-12)
    assert row["n"] == 100
    sizes = {r["stratum"]: r["n"] for r in run(path, *words, "--by", "sample")["rows"]}
    assert sizes == {"all": 200, "sample = source": 100, "sample = target": 100}


def test_a_column_of_a_users_table_may_be_called_sample(table, columns, tmp_path):
    path = tmp_path / "theirs.csv"
    Table(columns | {"sample": np.where(np.arange(200) % 2, "A", "B")}).write(path)
    assert run(path, *NAMES)["rows"][0]["n"] == 200


@pytest.mark.parametrize("suffix", ["csv", "fits", "parquet"])
def test_rows_are_chosen_by_truth_values(columns, suffix, tmp_path):
    path = tmp_path / f"table.{suffix}"
    is_qso = np.arange(200) % 4 == 0
    table = {**columns, "is_qso": is_qso}
    if suffix == "parquet":
        parquet.write_table(pa.table(table), path)
    else:
        Table(table).write(path)
    for words, count in (("True true TRUE 1", 50), ("False false FALSE 0", 150)):
        for word in words.split():
            rows = run(path, *NAMES, "--where", f"is_qso={word}")["rows"]
            assert rows[0]["n"] == count
    with pytest.raises(InputError, match="It holds False, True"):
        run(path, *NAMES, "--where", "is_qso=yes")


def test_whole_numbers_of_19_digits_are_compared_exactly(columns, tmp_path):
    # SDSS' objids: neighbours share one float64.
    path = tmp_path / "table.parquet"
    field = 1237655500272500810 + np.arange(200) // 50
    assert len(set(field.tolist())) == 4 and len(set(field.astype(float))) == 1
    parquet.write_table(pa.table({**columns, "field": field}), path)
    rows = run(path, *NAMES, "--where", "field=1237655500272500812")["rows"]
    assert rows[0]["n"] == 50
    with pytest.raises(InputError, match="a value that column 'field' holds"):
        run(path, *NAMES, "--where", "field=1237655500272500814")
    rows = run(path, *NAMES, "--where", "field=1237655500272500810.0")["rows"]
    assert rows[0]["n"] == 200  # as floats they are equal


def test_objects_of_19_digits_stay_apart_beside_an_empty_one(columns, tmp_path):
    names = [str(1237655500272500810 + row // 4) for row in range(200)]
    (tmp_path / "whole.csv").write_text(_csv(columns, names))
    (tmp_path / "gap.csv").write_text(_csv(columns, [*names[:-1], ""]))
    (tmp_path / "nan.csv").write_text(_csv(columns, ["7", "7", *["nan"] * 198]))
    (tmp_path / "none.csv").write_text(_csv(columns, ["7", "7", *[""] * 198]))
    errors = {
        name: run(tmp_path / f"{name}.csv", *NAMES, "--metrics", "nmad")["rows"][0]
        for name in ("whole", "gap", "nan", "none")
    }
    errors = {name: row["error"] for name, row in errors.items()}
    assert errors["gap"] == pytest.approx(errors["whole"], rel=0.05)
    assert errors["nan"] == errors["none"] < errors["whole"]


def _csv(columns, groups):
    rows = zip(columns["Z_SPEC"], columns["PHOTOZ"], groups, strict=True)
    return "\n".join(["Z_SPEC,PHOTOZ,group", *(",".join(map(str, r)) for r in rows)])


@pytest.mark.parametrize("edges", ["", ":2459000.5,2459000.75,2459001.5"])
def test_parts_whose_edges_print_alike_are_all_there(columns, edges, tmp_path):
    path = tmp_path / "table.parquet"
    day = 2459000.5 + np.linspace(0.001, 1, 200)
    parquet.write_table(pa.table({**columns, "jd": day}), path)
    rows = run(path, *NAMES, "--metrics", "mae", "--by", f"jd{edges}")["rows"]
    counts = [row["n"] for row in rows if row["stratum"] != "all"]
    assert sum(counts) == 200 and len(counts) == (2 if edges else 4)


def test_a_column_of_names_has_a_hundred_parts_and_the_rest(columns, tmp_path):
    path = tmp_path / "table.parquet"
    names = [f"n{row}" for row in range(150)] + ["often"] * 50
    parquet.write_table(pa.table({**columns, "name": names}), path)
    rows = run(path, *NAMES, "--metrics", "mae", "--by", "name")["rows"]
    parts = {row["stratum"]: row["n"] for row in rows if row["stratum"] != "all"}
    assert len(parts) == 101 and parts["name = often"] == 50
    assert parts["name in none of these"] == 51 and sum(parts.values()) == 200


def test_unusable_rows_are_told(columns, tmp_path):
    columns["PHOTOZ"][:3] = np.nan, -99, np.inf
    columns["Z_SPEC"][5] = np.nan
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table(columns), path)
    row = run(path, *NAMES)["rows"][0]
    assert row["n"] == 196
    assert row["excluded"] == {
        "prediction non_finite": 2, "prediction ≤ −1": 1, "label non_finite": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    "words, told",
    [
        (("--true", "ZSPEC"), "Did you mean Z_SPEC"),
        (("--pred", "kind"), "one number a row.*text"),
        (("--metrics", "outlier"), "Did you mean"),
        (("--window", "1.5"), "LOW:HIGH"),
        (("--window", "1.5:0.3"), "low < high"),
        (("--window", "3:4"), "at least one usable object in 3 < z_true"),
        (("--window", "0:1", "--window-on", "z"), "z_true, z_pred"),
        (("--window-on", "z_true"), "--window LOW:HIGH beside"),
        (("--by", "mag:22,20"), "ascending edges"),
        (("--by", "nothing"), "Unknown column"),
        (("--where", "kind=green"), "It holds blue, red"),
        (("--where", "kind"), "COL=VALUE"),
        (("--where", "mag=bright"), "a value that column 'mag' holds"),
        (("--weight", "kind"), "one number a row"),
        (("--group", "sorce"), "Unknown column"),
        (("--draws", -1), "--draws of 0 or more"),
        (("--seed", -1), "--seed of 0 or more"),
    ],
)
def test_wrong_options_are_told_in_one_line(table, words, told):
    with pytest.raises(InputError, match=told):
        run(table, *NAMES, *words)


def test_table_on_the_terminal_names_everything(table):
    words = [str(table), *map(str, NAMES[:4]), "--draws", "20", "--weight", "w"]
    result = CliRunner().invoke(command, words, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for wanted in ("PHOTOZ against Z_SPEC", "catastrophic [%]", "N_eff", "±", "200"):
        assert wanted in result.output, wanted


def test_out_writes_json_or_csv_by_suffix(table, tmp_path):
    printed = run(table, *NAMES, "--out", tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["rows"] == printed["rows"]
    run(table, *NAMES, "--out", tmp_path / "found.csv")
    with open(tmp_path / "found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["value"]) for r in rows] == [r["value"] for r in printed["rows"]]


def test_evaluate_imports_no_deep_learning_package(table):
    words = [str(table), *map(str, NAMES)]
    code = (
        "import sys; from kphotoz_cli.evaluate import command\n"
        f"command({words!r}, standalone_mode=False)\n"
        "found = {'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(found) if found else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_the_installed_command_ends_with_status_1_and_one_line(tmp_path):
    from pathlib import Path

    program = Path(sys.executable).with_name("kphotoz")
    words = [program, "evaluate", tmp_path / "absent.csv"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: Wanted: a table to read.")


def test_a_table_is_not_replaced_by_what_is_said_of_it(table):
    before = table.read_bytes()
    with pytest.raises(InputError, match="other than the input"):
        run(table, "--true", "Z_SPEC", "--pred", "PHOTOZ", "--out", table)
    assert table.read_bytes() == before

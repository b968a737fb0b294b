import csv
import dataclasses
import io
import math

import pytest
from rich.console import Console

from kphotoz import report
from kphotoz.report.content import Content
from kphotoz.report.rows import Pair
from kphotoz.report.style import number
from kphotoz.report.terminal_tables import against_best, verdict


def printed(renderable, width=160):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    "metric, value, error, wanted",
    [
        ("nmad", 0.03123, 0.00084, "0.03123 ± 0.00084"),
        ("nmad", 0.0312, 0.0123, "0.031 ± 0.012"),
        ("bias_median", -0.00312, 0.0008, "-0.00312 ± 0.00080"),
        ("outlier_015", 0.0463, 0.0021, "4.63 ± 0.21"),
        ("catastrophic", 0.0, 0.00092, "0.000 ± 0.092"),
        ("bias_median", -1e-9, 0.002, "0.0000 ± 0.0020"),
        ("nmad", 0.03, None, "0.03"),
        ("nmad", None, None, "n/a"),
        ("nmad", math.nan, 0.1, "n/a"),
    ],
)
def test_numbers_are_rounded_to_two_digits_of_their_error(metric, value, error, wanted):
    assert number(metric, value, error) == wanted


def test_deployment_stands_first_and_truth_before_label(comparison):
    text = printed(report.terminal_table(comparison))
    heads = [line for line in text.splitlines() if ", against" in line]
    assert heads[0].startswith("deployment, against true redshift: N = 240")
    assert [h.split(":")[0].strip() for h in heads[1:4]] == [
        "target, against label",
        "source, against true redshift",
        "source, against label",
    ]


def test_terminal_names_units_definitions_exclusions_and_the_window(comparison):
    text = printed(report.terminal_table(comparison))
    for wanted in (
        "outlier_015 [%]",
        "fraction with |dz| > 0.15",
        "1 prediction non_finite",
        "used, but 2 prediction negative",
        "Adaptation moved the bias.",
        "all redshifts, no window",
        "not resolved",
        "combined better",
        "30,000",
        "120.0 kB",
    ):
        assert wanted in text, wanted


def test_window_is_named_with_what_it_cuts_on(comparison):
    for row in comparison["rows"]:
        row["window"] = "0.3 < z_pred ≤ 1.5"
    assert "0.3 < z_pred ≤ 1.5" in printed(report.terminal_table(comparison))


def test_largest_fraction_is_shown(comparison):
    lines = printed(report.terminal_table(comparison)).splitlines()
    lora = next(line for line in lines if line.strip().startswith("lora"))
    assert "2,000" in lora and "0.0400 ± 0.0020" in lora


@pytest.mark.parametrize(
    "part",
    "samples differences costs regimes recipe notes crossover published".split(),
)
def test_missing_parts_are_tolerated(comparison, part):
    del comparison[part]
    assert "deployment" in printed(report.terminal_table(comparison))
    comparison[part] = None
    assert "deployment" in printed(report.terminal_table(comparison))


def test_markup_in_names_is_not_interpreted(comparison):
    for row in comparison["rows"]:
        row["regime"] = row["regime"].replace("lora", "[red]lora[/red]")
    assert "[red]lora[/red]" in printed(report.terminal_table(comparison))


def test_csv_holds_every_row_unrounded(comparison, tmp_path):
    comparison["rows"][0]["value"] = 1 / 3
    comparison["rows"][1]["value"] = None
    path = tmp_path / "comparison.csv"
    report.write_csv(comparison, path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(comparison["rows"])
    assert float(rows[0]["value"]) == 1 / 3
    assert rows[1]["value"] == ""
    lora = next(row for row in rows if row["regime"] == "lora")
    assert lora["excluded"] == "1 prediction non_finite"
    assert lora["flagged"] == "2 prediction negative"
    assert lora["window"] == "" and lora["stratum"] == ""


def test_differences_are_told_from_the_first_regime(comparison):
    found = against_best(Content(comparison))
    assert {one.a for one in found} == {"combined"}
    assert len(found) == 5 and {one.fraction for one in found} == {1.0}
    # Listed as zero_shot - combined = +0.014, so turned.
    first = next(one for one in found if one.b == "zero_shot")
    assert first.value == pytest.approx(0.036 - 0.05, abs=1e-12)
    assert verdict(first) == "combined better"


def test_verdict_names_the_better_side(comparison):
    one = Pair("x", "y", "target", "label", "nmad", -0.1, 0.01, resolved=True)
    assert verdict(one) == "x better"
    assert verdict(dataclasses.replace(one, metric="r2")) == "y better"
    assert verdict(dataclasses.replace(one, resolved=False)) == "not resolved"


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("r2", [0.9, 0.1, -0.5]),
        ("bias_median", [-0.001, 0.01, -0.2]),
        ("nmad", [0.01, 0.02, 0.03]),
    ],
)
def test_regimes_are_ranked_from_the_best_to_the_worst(comparison, metric, values):
    names = ["lora", "combined", "zero_shot"]
    comparison["recipe"]["evaluation"]["headline"] = metric
    comparison["rows"] = [
        {**row, "metric": metric, "value": values[names.index(row["regime"])]}
        for row in comparison["rows"]
        if row["metric"] == "nmad" and row["regime"] in names
    ]
    assert Content(comparison).ranked("target", "label") == names

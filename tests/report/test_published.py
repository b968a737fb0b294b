import pytest

from kphotoz import report
from kphotoz.report.content import Content
from kphotoz.report.published import published_tables


@pytest.fixture
def page(comparison, tmp_path):
    def write(published):
        comparison["published"] = published
        report.write_html(comparison, [], tmp_path / "report.html")
        return (tmp_path / "report.html").read_text()

    return write


def tables(comparison, published):
    return published_tables(Content({**comparison, "published": published}))


def test_ours_stands_beside_the_published_value_of_the_same_regime(comparison):
    published = {"title": "P", "rows": [{"regime": "lora", "target": 0.0183}]}
    (table,) = tables(comparison, published)
    (line,) = table.lines
    assert line.published == {"target": 0.0183}
    row = line.ours["target"]
    assert (row.regime, row.metric, row.truth) == ("lora", "nmad", "label")
    assert row.fraction == 1.0


def test_rows_may_name_metric_fraction_and_a_run_of_a_regime(comparison):
    rows = [
        {"regime": "lora, series", "metric": "catastrophic", "labels used": "10 %",
         "target": 0.0166, "trust": "F"},
        {"regime": "lora, series", "metric": "nmad", "labels used": "0 %",
         "target": 0.0366},
        {"regime": "unheard_of", "target": "> 0.06"},
    ]  # fmt: skip
    (table,) = tables(comparison, {"title": "P", "rows": rows})
    first, base, other = table.lines
    assert (first.ours["target"].fraction, first.trust) == (0.1, "F")
    assert first.ours["target"].metric == "catastrophic"
    assert base.ours["target"].regime == "zero_shot"
    assert other.ours["target"] is None


def test_tables_and_series_are_taken_too(comparison):
    published = {
        "trust": "F",
        "tables": [
            {"title": "one", "metric": "outlier_015",
             "rows": [{"regime": "full", "source": 0.2}]},
        ],
        "fractions": [
            {"title": "curve", "regime": "lora", "labels used": ["10 %", "100 %"],
             "target": [0.0226, 0.0182], "source": [0.0509, 0.0476]},
        ],
    }  # fmt: skip
    one, curve = tables(comparison, published)
    assert one.title == "one" and one.lines[0].metric == "outlier_015"
    assert one.note.startswith("Trust: F")
    assert [line.published["target"] for line in curve.lines] == [0.0226, 0.0182]
    assert [line.ours["target"].fraction for line in curve.lines] == [0.1, 1.0]


@pytest.mark.parametrize(
    "window",
    ["0.3 < z_true ≤ 1.5", {"on": "z_true", "low": 0.3, "high": 1.5}],
)
def test_a_published_window_finds_ours(comparison, window):
    rows = [{**r, "window": "0.3 < z_true ≤ 1.5"} for r in comparison["rows"]]
    for row in rows:
        row["value"] = 0.5
    comparison["rows"] += rows
    published = {"window": window, "rows": [{"regime": "lora", "target": 0.1}]}
    (table,) = tables(comparison, published)
    assert table.lines[0].ours["target"].value == 0.5


def test_rates_are_shown_in_per_cent_on_both_sides(page):
    row = {"regime": "lora", "metric": "outlier_015", "target": 0.0123}
    text = page({"title": "P", "rows": [row]}).split("published numbers")[1]
    assert "outlier_015 [%]" in text and ">1.23<" in text
    assert "2.00 ± 0.20" in text  # 0.040 / 2 of the fixture


def test_rows_that_name_no_regime_are_shown_as_they_are(page):
    row = {"comparison": "a against b", "bias": "5 times lower"}
    text = page({"title": "ratios", "trust": "abstract", "rows": [row]})
    assert "5 times lower" in text and "Trust: abstract." in text

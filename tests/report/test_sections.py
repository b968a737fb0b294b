import pytest

from kphotoz import report

WINDOW = "0.3 < z_pred ≤ 1.5"


@pytest.fixture
def page(comparison, tmp_path):
    def write(**changes):
        path = tmp_path / "report.html"
        report.write_html({**comparison, **changes}, [], path)
        return path.read_text()

    return write


def strata(comparison):
    """Rows of two magnitude parts on the deployment sample, as a comparison has."""
    rows = []
    for place, part in enumerate(("18 < magnitude ≤ 20", "20 < magnitude ≤ <22>")):
        for row in comparison["rows"]:
            if (row["sample"], row["fraction"]) != ("deployment", 1.0):
                continue
            extra = {"by": "magnitude", "stratum": part, "n": 100 + place}
            rows.append({**row, **extra, "value": row["value"] * (1 + place)})
    return rows


def test_the_headline_stands_in_every_part_with_the_paired_difference(comparison, page):
    pair = {
        "a": "lora",
        "b": "random_forest",
        "by": "magnitude",
        "stratum": "18 < magnitude ≤ 20",
        "sample": "deployment",
        "truth": "z_true",
        "metric": "nmad",
        "value": -0.0123,
        "error": 0.001,
        "resolved": True,
        "fraction": 1.0,
    }
    text = page(strata=strata(comparison), strata_differences=[pair])
    part = text.split("By magnitude, colour and origin")[1].split("</table>")[0]
    assert part.count("<tr>") == 3
    assert "18 &lt; magnitude ≤ 20" in part and "≤ &lt;22&gt;" in part
    assert "0.0400 ± 0.0020" in part and "0.0800 ± 0.0020" in part  # lora
    assert '<strong title="lora − random_forest: lora better">-0.0123' in part


def test_every_further_window_has_its_table_with_its_counts(comparison, page):
    rows = [
        {**row, "window": WINDOW, "value": 0.777, "n": 99} for row in comparison["rows"]
    ]
    text = page(rows=comparison["rows"] + rows)
    assert text.count(f"In the window {WINDOW.replace('<', '&lt;')}") == 4
    part = text.split("In the window")[1].split("</table>")[0]
    assert "0.7770 ± 0.0025" in part and ">99<" in part
    assert "used, but 2 prediction negative" in part
    # The headline's numbers are those of the first window.
    assert "0.777" not in text.split("In the window")[0].split("<h2>")[1]


def test_counts_stand_beside_every_table(page):
    head = page().split("<h2>")[1]
    assert "excluded: 1 prediction non_finite. used, but 2 prediction negative" in head


def test_labels_themselves_are_a_row_beside_the_outlier_rates(page):
    tables = page().split("the labels themselves")
    assert len(tables) == 2  # on the one sample whose labels the fixture doubts
    assert "2.00" in tables[1].split("</tr>")[0]


def test_remarks_stand_before_the_notes(page):
    text = page()
    assert text.index("Adaptation moved the bias.") < text.index("2 seeds: diff")


def test_environment_licences_and_command_are_there(page):
    text = page(environment={"backend": "jax", "packages": {"keras": "3.15"}})
    for words in ("kphotoz compare mock --seeds 2", "jax", "3.15", "BSD-3-Clause"):
        assert words in text
    assert "Data: licences and acknowledgements" in text


def test_csv_has_the_strata_below_the_rows(comparison, tmp_path):
    path = tmp_path / "comparison.csv"
    report.write_csv({**comparison, "strata": strata(comparison)}, path)
    lines = path.read_text().splitlines()
    assert lines[0].endswith("window,flagged,note,by,stratum")
    assert lines[-1].endswith("magnitude,20 < magnitude ≤ <22>")
    assert len(lines) == 1 + len(comparison["rows"]) + len(strata(comparison))

"""The table of families says what the results do, and a quick run fills them."""

import json
import pathlib
import subprocess
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "adapter_families.py"
sys.path.insert(0, str(BENCHMARKS))

from families.table import write  # noqa: E402 - found by the line above

RUN = {"date": "2026-12-01", "versions": {"keras": "3.15.1"}}
WORKS = RUN | {
    **{"status": "works", "inputs": "32 × 32 × 5", "kind": "AdaptedFunctional"},
    **{"adapted": ["a", "b"], "skipped": {"c": "small"}, "fold": "folded"},
    "quantized": "not quantized: no layer that Keras quantizes",
}


def rows(results, tmp_path):
    """Returns the rows of the table, by the first cell."""
    page = tmp_path / "page.md"
    page.write_text(
        "above\n<!-- families: start -->\nreplaced\n<!-- families: end -->\nbelow\n"
    )
    write(results, page)
    text = page.read_text()
    assert (
        text.startswith("above\n<!-- families: start -->\n") and "replaced" not in text
    )
    assert text.endswith("<!-- families: end -->\nbelow\n")
    cells = [line.strip("|\n ").split(" | ") for line in text.splitlines()]
    return {row[0]: row[1:] for row in cells if len(row) == 8}


def test_members_of_a_family_share_a_row_until_one_differs(tmp_path):
    more = WORKS | {"adapted": ["a", "b", "c"], "skipped": {}}
    refused = RUN | {"status": "refused", "reason": "no | layer", "inputs": "32"}
    results = {
        "VGG16 tensorflow": WORKS,
        "VGG16 jax": WORKS,
        "VGG19 tensorflow": more,
        "DenseNet121 tensorflow": WORKS,
        "DenseNet169 tensorflow": refused,
        "DenseNet201 tensorflow": WORKS,
    }
    table = rows(results, tmp_path)
    assert table["VGG: `VGG16`, `VGG19`"] == [
        *("32 × 32 × 5", "2–3 of 3", "graph", "yes", "–"),
        *("works", "works (`VGG16`)"),
    ]
    assert table["DenseNet: `DenseNet121`, `DenseNet201`"][5:] == ["works", "not run"]
    assert table["`DenseNet169`"][5] == "refused: no / layer"


@pytest.mark.large
def test_quick_run_keeps_results_and_does_not_repeat_them(tmp_path):
    path = tmp_path / "results.json"
    command = [sys.executable, SCRIPT, "--quick", "--results", path]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-1500:]
    lines = done.stdout.splitlines()
    assert len(lines) == 1  # the second run had nothing to do
    assert json.loads(lines[0])["counts"] == {"works": 2}
    assert json.loads(path.read_text())["MobileNet tensorflow"]["peak_gb"] > 0

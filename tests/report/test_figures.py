import json

import numpy as np
from matplotlib.image import imread

from kphotoz import report
from kphotoz.report.canvas import figure, lsst
from kphotoz.report.content import Content
from kphotoz.report.style import look


def test_every_figure_is_written_with_a_caption(figures):
    paths, folder = figures, figures[0].parent
    assert [path.stem for path in paths] == [
        "bars", "redshifts", "trends", "forgetting", "fractions", "costs"
    ]  # fmt: skip
    captions = json.loads((folder / "captions.json").read_text())
    assert set(captions) == {path.name for path in paths}
    for path in paths:
        image = imread(path)
        # Not an empty sheet: some ink, and not mostly ink.
        assert 0.005 < np.mean(image[..., :3].min(axis=-1) < 0.8) < 0.6, path
    assert "N = 240" in captions["redshifts.png"]
    assert "Gold sample" in captions["trends.png"]
    assert "which this is not" in captions["trends.png"]
    assert "the labels themselves against the truth" in captions["bars.png"]
    assert "about 700 labels" in captions["fractions.png"]


def test_without_predictions_the_other_figures_remain(comparison, tmp_path):
    paths = report.write_figures(comparison, None, tmp_path)
    assert [p.stem for p in paths] == ["bars", "forgetting", "fractions", "costs"]


def test_one_fraction_makes_no_fraction_figure(comparison, tmp_path):
    comparison["rows"] = [r for r in comparison["rows"] if r["fraction"] != 0.1]
    for part in ("costs", "differences", "crossover", "samples", "recipe"):
        comparison[part] = None
    paths = report.write_figures(comparison, None, tmp_path)
    assert [path.stem for path in paths] == ["bars"]


def test_no_rows_make_no_figures(tmp_path):
    assert report.write_figures({"rows": []}, None, tmp_path) == []


def test_values_that_could_not_be_measured_do_not_stop_the_figures(
    comparison, tmp_path
):
    for row in comparison["rows"]:
        if row["regime"] in ("lora", "zero_shot"):
            row["value"] = row["error"] = None
    assert len(report.write_figures(comparison, None, tmp_path)) == 4


def test_failed_predictions_do_not_stop_the_figures(comparison, predictions, tmp_path):
    broken = {key: value.copy() for key, value in predictions.items()}
    broken["z_pred"][broken["regime"] == "lora"] = np.nan
    broken["magnitude"][:] = np.nan
    assert len(report.write_figures(comparison, broken, tmp_path)) == 6


def test_deployment_rows_are_those_of_the_recipes_sample(comparison, predictions):
    panel = Content(comparison).panel(predictions, "deployment", "z_true")
    rows = (predictions["sample"] == "source") & (predictions["regime"] == "lora")
    rows &= predictions["seed"] == 1
    order = np.argsort(predictions["id"][rows], kind="stable")
    np.testing.assert_array_equal(panel.z, predictions["z_true"][rows][order])
    np.testing.assert_array_equal(
        panel.preds["lora"][1], predictions["z_pred"][rows][order]
    )
    assert panel.preds["lora"].shape == (2, 240)


def test_seeds_are_aligned_by_id_whatever_the_order_of_rows(comparison, predictions):
    order = np.random.default_rng(1).permutation(predictions["id"].size)
    mixed = {key: value[order] for key, value in predictions.items()}
    first = Content(comparison).panel(predictions, "both", "label")
    second = Content(comparison).panel(mixed, "both", "label")
    for name, pred in first.preds.items():
        np.testing.assert_array_equal(second.preds[name], pred)


def test_a_regime_keeps_its_colour_in_any_company():
    assert look("lora", ["lora"]) == look("lora", ["zero_shot", "mine", "lora"])
    names = ["mine", "yours", *"zero_shot from_scratch lora combined full".split()]
    assert len({look(name, names) for name in names}) == len(names)


def test_lsst_line_is_grey_with_a_reason_unless_the_sample_is_gold():
    with figure(3, 3) as drawn:
        axes = drawn.subplots()
        assert "Gold sample" in lsst(axes, "nmad", {})
        assert lsst(axes, "nmad", {"lsst_gold": True}).endswith("scatter < 0.02.")
        assert lsst(axes, "outlier_015", {}) == ""
        grey, coloured = (line.get_color() for line in axes.lines)
    assert grey == "#8A8A8A" != coloured

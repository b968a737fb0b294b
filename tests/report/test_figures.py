import json

import numpy as np
import pytest
from matplotlib.image import imread

from kphotoz import report
from kphotoz.metrics import Window
from kphotoz.report.canvas import figure, requirement_words, requirements
from kphotoz.report.content import Content
from kphotoz.report.redshift_figures import _top
from kphotoz.report.style import look


def only(comparison, *metrics):
    """Leaves out the other metrics, whose figures are drawn by the same lines."""
    comparison["rows"] = [r for r in comparison["rows"] if r["metric"] in metrics]
    return comparison


def test_every_figure_is_written_with_a_caption(figures):
    paths, folder = figures, figures[0].parent
    assert [path.stem for path in paths] == [
        "bars", "redshifts", "trends", "forgetting", "fractions", "costs",
        "bars_bias_median", "bars_outlier_015", "bars_catastrophic",
    ]  # fmt: skip
    captions = json.loads((folder / "captions.json").read_text())
    assert set(captions) == {path.name for path in paths}
    for path in paths:
        image = imread(path)
        # Not an empty sheet: some ink, and not mostly ink.
        assert 0.005 < np.mean(image[..., :3].min(axis=-1) < 0.8) < 0.6, path
    assert "N = 240" in captions["redshifts.png"]
    assert "for the Gold sample" in captions["trends.png"]
    assert "magnitudes of this sample are not known" in captions["trends.png"]
    assert "the one to correct and to cut on" in captions["trends.png"]
    assert "the labels themselves against the truth" in captions["bars.png"]
    assert "about 700 labels" in captions["fractions.png"]


def test_without_predictions_the_other_figures_remain(comparison, tmp_path):
    paths = report.write_figures(only(comparison, "nmad"), None, tmp_path)
    assert [p.stem for p in paths] == ["bars", "forgetting", "fractions", "costs"]


def test_one_fraction_makes_no_fraction_figure(comparison, tmp_path):
    comparison["rows"] = [r for r in comparison["rows"] if r["fraction"] != 0.1]
    for part in ("costs", "differences", "crossover", "samples", "recipe"):
        comparison[part] = None
    paths = report.write_figures(comparison, None, tmp_path)
    assert {path.stem.partition("_")[0] for path in paths} == {"bars"}


def test_no_rows_make_no_figures(tmp_path):
    assert report.write_figures({"rows": []}, None, tmp_path) == []


def test_values_that_could_not_be_measured_do_not_stop_the_figures(
    comparison, tmp_path
):
    for row in comparison["rows"]:
        if row["regime"] in ("lora", "zero_shot"):
            row["value"] = row["error"] = None
    few = only(comparison, "nmad", "bias_median")
    assert len(report.write_figures(few, None, tmp_path)) == 5


def test_both_samples_together_have_a_figure_of_their_own(
    comparison, predictions, tmp_path
):
    rows = [r for r in only(comparison, "nmad")["rows"] if r["sample"] == "target"]
    comparison["rows"] += [{**r, "sample": "both"} for r in rows]
    paths = report.write_figures(comparison, predictions, tmp_path)
    assert "redshifts_both.png" in {path.name for path in paths}
    captions = json.loads((tmp_path / "captions.json").read_text())
    assert "N = 400" in captions["redshifts_both.png"]


def test_failed_predictions_do_not_stop_the_figures(comparison, predictions, tmp_path):
    broken = {key: value.copy() for key, value in predictions.items()}
    broken["z_pred"][broken["regime"] == "lora"] = np.nan
    broken["magnitude"][:] = np.nan
    assert len(report.write_figures(only(comparison, "nmad"), broken, tmp_path)) == 6


@pytest.mark.parametrize("failed", [np.inf, 1e6])
def test_a_diverged_regime_rules_no_axis(comparison, predictions, tmp_path, failed):
    broken = {key: value.copy() for key, value in predictions.items()}
    broken["z_pred"][broken["regime"] == "lora"] = failed
    few = only(comparison, "nmad")
    assert len(report.write_figures(few, broken, tmp_path)) == 6
    panel = Content(few).panel(broken, "target", "label")
    top = _top(panel, list(panel.preds))
    assert panel.z.max() * 0.9 < top < panel.z.max() * 1.6


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


def test_a_panel_knows_which_rows_are_one_object(comparison, predictions):
    assert Content(comparison).panel(predictions, "both", "label").groups is None
    names = np.array([name[:-1] for name in predictions["id"]], object)
    panel = Content(comparison).panel(predictions | {"group": names}, "both", "label")
    rows = (predictions["regime"] == "lora") & (predictions["seed"] == 0)
    chosen = names[rows][np.argsort(predictions["id"][rows], kind="stable")]
    pairs = panel.groups[:, None] == panel.groups
    np.testing.assert_array_equal(pairs, chosen[:, None] == chosen)


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


def gold(band="i", faint=25.2, known=1.0):
    return {"magnitude": {"band": band, "known": known, "faint": faint, "median": 24}}


@pytest.mark.parametrize(
    ("sample", "window", "reason"),
    [
        (gold(), None, ""),
        ({}, None, "magnitudes of this sample are not known"),
        (gold(known=0.9), None, "10% of its magnitudes are not known"),
        (gold(band=None), None, "have no declared band"),
        (gold(band="r"), None, "are in r"),
        (gold(faint=26.0), None, "reaches i = 26.0"),
        (gold(faint=22.0), None, "ends at i = 22.0"),
        (gold(), Window(0.3, 1.5, "z_true"), "the numbers are for 0.3 < z_true ≤ 1.5"),
    ],
)
def test_a_line_is_in_colour_only_for_the_sample_that_it_is_written_for(
    sample, window, reason
):
    with figure(3, 3) as drawn:
        axes = drawn.subplots()
        said = requirements(axes, "bias_median", sample, window)
        colours = {line.get_color() for line in axes.lines}
        places = sorted(line.get_ydata()[0] for line in axes.lines)
    assert places == [-0.003, 0.003]
    words = requirement_words(said)
    assert words.startswith("Dashed grey: LSST" if reason else "Dashed: LSST")
    assert reason in words and "|bias_median| < 0.003" in words
    assert (colours == {"#8A8A8A"}) is bool(reason)


def test_every_requirement_has_its_own_metrics_and_window():
    with figure(3, 3) as drawn:
        axes = drawn.subplots()
        assert len(requirements(axes, "nmad", gold(), None)) == 2
        cut = Window(0, 2, "z_pred")
        said = requirements(axes, "outlier_015", gold(faint=24.9), cut)
        words = requirement_words(said)
        assert words == (
            "Dotted: Rubin catalogue minimum (outlier_015 < 10%), for i < 25, "
            "0 < z_phot < 2."
        )
        assert requirements(axes, "mae", gold(), None) == []
    assert axes.lines[-1].get_ydata()[0] == 10.0  # in per cent, as it is drawn


def test_reasons_are_told_sample_by_sample():
    with figure(3, 3) as drawn:
        axes = drawn.subplots()
        said = requirements(axes, "bias_median", gold(), None, "deep")
        said += requirements(axes, "bias_median", gold(faint=22.0), None, "bright")
    words = requirement_words(said)
    assert words.startswith("Dashed partly grey: LSST")
    assert words.endswith("grey since bright: this sample ends at i = 22.0.")


def test_magnitude_facts_tell_band_depth_and_what_is_unknown():
    magnitudes = np.append(np.linspace(20, 25, 99), np.nan)
    facts = report.magnitude_facts(magnitudes, "i")
    assert facts["known"] == 0.99 and facts["band"] == "i"
    assert facts["median"] == pytest.approx(22.5)
    assert facts["faint"] == pytest.approx(np.quantile(magnitudes[:-1], 0.99))
    assert report.magnitude_facts(np.array([np.nan]), None)["faint"] is None


def sweep(comparison, predictions):
    """Adds twenty variants of a sweep, with names that markup could misread."""
    names = [f"lora[rank={2**i}]" for i in range(18)] + ["_odd$name$", "<b>"]
    rows = [r for r in comparison["rows"] if r["regime"] == "lora"]
    costs = [r for r in comparison["costs"] if r["regime"] == "lora"]
    mine = predictions["regime"] == "lora"
    parts = [predictions]
    for place, name in enumerate(names):
        comparison["rows"] += [
            {**r, "regime": name, "value": r["value"] * (1 + place / 30)} for r in rows
        ]
        comparison["costs"] += [
            {**c, "regime": name, "trainable_parameters": 100 * (place + 1)}
            for c in costs
        ]
        comparison["regimes"][name] = "a variant"
        extra = {key: value[mine].copy() for key, value in predictions.items()}
        extra["regime"][:] = name
        parts.append(extra)
    return {key: np.concatenate([p[key] for p in parts]) for key in predictions}


@pytest.mark.large
def test_many_variants_stay_readable_and_the_missing_are_named(
    comparison, predictions, tmp_path
):
    many = sweep(only(comparison, "nmad"), predictions)
    paths = report.write_figures(comparison, many, tmp_path)
    assert len(paths) == 6
    captions = json.loads((tmp_path / "captions.json").read_text())
    assert "Not drawn, for room: " in captions["redshifts.png"]
    assert "the others are thin" in captions["fractions.png"]
    report.write_html(comparison, paths, tmp_path / "report.html")
    assert "<b>" not in (tmp_path / "report.html").read_text()


def test_variants_are_shades_of_their_regime():
    names = ["lora", "lora[rank=2]", "lora[rank=8]", "lora[rank=16]", "full"]
    looks = [look(name, names) for name in names]
    assert len(set(looks)) == 5 and looks[0] == look("lora", ["lora"])
    assert all(colour[0] == "#" and len(colour) == 7 for colour, _ in looks)


def test_equal_input_gives_equal_bytes(comparison, predictions, figures, tmp_path):
    again = report.write_figures(comparison, predictions, tmp_path)
    for first, second in zip(figures, again, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name

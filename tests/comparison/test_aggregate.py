"""A comparison folder written by hand, without any training."""

import json
import types

import numpy as np
import pytest
from sklearn.metrics import r2_score

from kphotoz import metrics
from kphotoz.comparison.aggregate import collect as collected
from kphotoz.comparison.plan import Job
from kphotoz.comparison.strata import missing_columns
from kphotoz.comparison.tables import Tables
from kphotoz.recipes.schema import Evaluation
from kphotoz.training.run_folder import write_parquet


def collect(tables):
    """Returns what stands in comparison.json."""
    return collected(tables).as_dict()


SCATTER = {"zero_shot": 0.06, "lora": 0.03, "random_forest": 0.04}
SEEDS, N = 5, 120


def _table(name, seed):
    truth = np.random.default_rng(1).uniform(0.1, 2.0, N)
    noise = np.random.default_rng([seed, len(name)]).normal(size=N)
    label = truth + 0.01
    return {
        "sample": np.repeat(["source", "target"], N // 2).astype(object),
        "id": np.array([f"o{i}" for i in range(N)], object),
        "z_label": label,
        "z_true": truth,
        "z_pred": truth + SCATTER.get(name, 0.1) * noise * (1 + truth),
        "magnitude": 20 + 2 * truth,
        "g-r": np.linspace(0, 1, N),
        "survey": np.tile(["DEEP2", "VVDS", "VVDS"], N // 3).astype(object),
    }


@pytest.fixture
def tables(tmp_path):
    def make(**evaluation):
        chosen = Evaluation(draws=100, **evaluation)
        recipe = types.SimpleNamespace(
            evaluation=chosen,
            fractions=(1.0,),
            seeds=SEEDS,
            folds=1,
            deployment=types.SimpleNamespace(sample="source", truth="z_true"),
        )
        regimes = [
            types.SimpleNamespace(
                name=name,
                learns_from_target=name != "zero_shot",
                trainable=types.SimpleNamespace(
                    moves="forest" if name == "random_forest" else "lora"
                ),
            )
            for name in SCATTER
        ]
        cost = {"trainable_parameters": 1, "stored_bytes": 1, "examples_seen": 1}
        cost |= {"seconds": 1.0, "peak_memory_gib": 1.0}
        for name in SCATTER:
            for seed in range(SEEDS):
                job = Job(name, seed, 0.0 if name == "zero_shot" else 1.0)
                folder = tmp_path / "jobs" / job.name
                folder.mkdir(parents=True, exist_ok=True)
                columns = _table(name, seed)
                columns["z_pred"][0] = np.nan if name == "lora" else 0.5
                write_parquet(folder / "predictions.parquet", columns)
                (folder / "cost.json").write_text(json.dumps(cost))
                (folder / "metrics.json").write_text('{"n_labels": 50}')
        return Tables(tmp_path, recipe, regimes)

    return make


def test_every_window_has_its_rows_and_the_first_leads(tables):
    windows = [
        {"on": "z_true", "low": 0.3, "high": 1.5},
        {"on": "z_pred", "low": 0.3, "high": 1.5},
    ]
    found = collect(tables(windows=windows))
    assert found["windows"] == ["0.3 < z_true ≤ 1.5", "0.3 < z_pred ≤ 1.5"]
    assert found["rows"][0]["window"] == found["windows"][0]
    row = next(
        r
        for r in found["rows"]
        if (r["regime"], r["sample"], r["metric"]) == ("lora", "deployment", "nmad")
    )
    wanted = []
    for seed in range(SEEDS):
        t = _table("lora", seed)
        keep = (t["z_true"] > 0.3) & (t["z_true"] <= 1.5) & (t["sample"] == "source")
        keep[0] = False
        wanted.append(metrics.nmad(t["z_pred"][keep], t["z_true"][keep]))
    assert row["value"] == pytest.approx(np.mean(wanted), abs=1e-12)
    assert {d["window"] for d in found["differences"]} == {found["windows"][0]}
    assert {d["metric"] for d in found["differences"]} == {"nmad", "bias_median"}


def test_unusable_negative_and_out_of_grid_values_are_counted_in_the_rows(tables):
    found = collect(tables(grid=[0.2, 1.0], metrics=["nmad"]))
    assert found["windows"] == [None]
    rows = [r for r in found["rows"] if r["sample"] == "deployment"]
    rows = {r["regime"]: r for r in rows}
    assert rows["lora"]["excluded"] == {"prediction non_finite": 1}
    preds = np.stack([_table("lora", s)["z_pred"][1 : N // 2] for s in range(SEEDS)])
    truth = _table("lora", 0)["z_true"][1 : N // 2]
    outside = ((preds < 0.2) | (preds > 1.0)).any(0).sum()
    assert rows["lora"]["flagged"]["prediction out_of_grid"] == outside
    odd = np.count_nonzero((truth < 0.2) | (truth > 1.0))
    assert rows["lora"]["flagged"]["label out_of_grid"] == odd


def test_copies_of_the_objects_resolve_nothing_more(tables, monkeypatch):
    by = {"magnitude": [20, 22, 25]}
    wanted = collect(tables(by=by))
    plain = _table

    def copied(name, seed):
        columns = {key: np.repeat(v, 4) for key, v in plain(name, seed).items()}
        columns["z_pred"][:4] = np.nan if name == "lora" else 0.5
        return columns | {"group": columns["id"]}

    monkeypatch.setitem(globals(), "_table", copied)
    found = collect(tables(by=by))
    for part in ("rows", "differences", "strata", "strata_differences", "floors"):
        assert len(found[part]) == len(wanted[part]) > 0
        for one, other in zip(found[part], wanted[part], strict=True):
            for key in ("value", "error"):
                if one.get("metric") in ("nmad", "bias_median"):
                    assert one[key] == pytest.approx(other[key], nan_ok=True), part
    for one, other in zip(found["differences"], wanted["differences"], strict=True):
        assert one["resolved"] == other["resolved"]


def test_a_window_that_holds_nobody_is_nan_with_a_note_and_stops_nothing(tables):
    windows = [{"on": "z_true", "low": 3.0, "high": 4.0}]
    found = collect(tables(windows=windows, metrics=["nmad"]))
    assert all(np.isnan(r["value"]) for r in found["rows"])
    assert found["rows"][0]["note"] == "no usable object in the window"


def test_strata_by_edges_quartiles_and_categories_cover_every_object(tables):
    by = {"magnitude": [20, 22, 24.5], "g-r": None, "survey": None, "u-g": None}
    made = tables(by=by, metrics=["nmad"])
    found = collect(made)
    mine = [
        r
        for r in found["strata"]
        if (r["regime"], r["sample"]) == ("zero_shot", "target")
        and r["truth"] == "label"
    ]
    for column in ("magnitude", "g-r", "survey"):
        assert sum(r["n"] for r in mine if r["by"] == column) == N // 2
    wanted = {"survey = DEEP2", "survey = VVDS"}
    assert {r["stratum"] for r in mine if r["by"] == "survey"} == wanted
    assert {r["by"] for r in mine} == {"magnitude", "g-r", "survey"}
    (told,) = missing_columns(made)
    assert told.startswith("No strata by u-g")


def test_strata_pair_the_best_network_with_the_forest(tables):
    found = collect(tables(by={"magnitude": [20, 22, 25]}, metrics=["nmad"]))
    assert {(d["a"], d["b"]) for d in found["strata_differences"]} == {
        ("lora", "random_forest")
    }
    one = next(d for d in found["strata_differences"] if d["sample"] == "target")
    sides = []
    for name in ("lora", "random_forest"):
        values = []
        for seed in range(SEEDS):
            t = _table(name, seed)
            keep = (t["sample"] == "target") & (t["magnitude"] <= 22)
            values.append(metrics.nmad(t["z_pred"][keep], t["z_label"][keep]))
        sides.append(np.mean(values))
    assert one["value"] == pytest.approx(sides[0] - sides[1], abs=1e-12)


def test_a_network_worse_than_the_mean_redshift_is_not_the_best(tables, monkeypatch):
    monkeypatch.setitem(SCATTER, "zero_shot", 3.0)
    scores = {}
    for name in ("zero_shot", "lora"):
        parts = [_table(name, seed) for seed in range(SEEDS)]
        scores[name] = np.mean([r2_score(t["z_label"], t["z_pred"]) for t in parts])
    assert scores["zero_shot"] < -1 and scores["lora"] > 0.9
    by = {"magnitude": [20, 25]}
    found = collect(tables(by=by, metrics=["r2"], headline="r2"))
    pairs = {(d["a"], d["b"]) for d in found["strata_differences"]}
    assert pairs == {("lora", "random_forest")}


def test_small_strata_stay_visible(tables):
    found = collect(tables(by={"magnitude": [20, 20.3, 25]}, metrics=["nmad"]))
    small = [r for r in found["strata"] if r["note"] == "fewer than 20 objects"]
    assert small and all(np.isnan(r["value"]) and r["n"] < 20 for r in small)


def test_a_window_that_leaves_few_of_a_part_leaves_no_number(tables):
    windows = [{"on": "z_true", "low": 0.3, "high": 0.6}]
    found = collect(tables(by={"magnitude": [20, 25]}, windows=windows))
    assert {r["n"] < 20 for r in found["strata"]} == {True}
    assert all(np.isnan(r["value"]) for r in found["strata"])


def test_floors_score_the_labels_themselves(tables):
    found = collect(tables(metrics=["mae"], headline="mae"))
    assert {f["sample"] for f in found["floors"]} == {
        "deployment", "source", "target", "both"
    }  # fmt: skip
    assert found["floors"][0]["value"] == pytest.approx(0.01, abs=1e-12)

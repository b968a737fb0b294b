"""Writes what a comparison found: JSON, CSV, predictions, figures, one page."""

import functools
import json
import pathlib

import numpy as np

from kphotoz import report
from kphotoz.comparison.aggregate import collect
from kphotoz.comparison.answer import answer, crossover
from kphotoz.comparison.remarks import remarks
from kphotoz.comparison.strata import missing_columns
from kphotoz.comparison.tables import Tables
from kphotoz.comparison.workers import processes
from kphotoz.files import write_json
from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime
from kphotoz.regimes.deployment import Weights
from kphotoz.regimes.experiment import Experiment
from kphotoz.training.run_folder import write_parquet

__all__ = ["summarize"]


def summarize(
    experiment: Experiment, regimes: list[Regime], out: pathlib.Path, command: str
) -> dict:
    """Returns the comparison as one dict, after writing all its files to `out`.

    Args:
        experiment: Experiment. Whose jobs have all ended.
        regimes: list of Regime. In the order of the table.
        out: path of the comparison.
        command: str. The exact command, for the report.
    """
    recipe = experiment.recipe
    weights = experiment.deployment_weights
    tables = Tables(out, recipe, regimes, weights.values if weights else None)
    collected = collect(tables)
    headline = recipe.evaluation.headline
    adapted = [
        r.name for r in regimes if r.trainable.start == "base" and r.learns_from_target
    ]
    forests = [r.name for r in regimes if r.trainable.moves == "forest"]
    window, rows, pairs = collected.windows[0], collected.rows, collected.differences
    comparison = {
        "title": recipe.title,
        "command": command,
        "answer": answer(rows, pairs, headline, recipe.seeds, window),
        "remarks": remarks(
            rows, pairs, headline, adapted=adapted, forests=forests, window=window
        ),
        "notes": [
            *experiment.notes,
            *_notes(recipe, regimes, weights),
            *missing_columns(tables),
        ],
        "recipe": recipe.model_dump(mode="json"),
        "environment": _environment(out),
        "samples": _samples(tables, experiment),
        "regimes": {regime.name: regime.description for regime in regimes},
        "fractions": list(recipe.fractions),
        "seeds": recipe.seeds,
        **collected.as_dict(),
        "published": recipe.published,
        "crossover": crossover(rows, adapted, headline, window=window),
        "licences": _licences(experiment),
    }
    _write(comparison, tables, out)
    return comparison


def _write(comparison: dict, tables: Tables, out: pathlib.Path) -> None:
    write_json(out / "comparison.json", comparison)
    report.write_csv(comparison, out / "comparison.csv")
    predictions = _predictions(tables)
    write_parquet(out / "predictions.parquet", predictions)
    figures = _figures(comparison, predictions, out)
    report.write_html(comparison, figures, out / "report.html")


def _figures(
    comparison: dict, predictions: dict[str, np.ndarray], out: pathlib.Path
) -> list[pathlib.Path]:
    """Draws as many figures at once as jobs were run."""
    draw = functools.partial(
        report.write_figures, comparison, predictions, out / "figures"
    )
    count = comparison["environment"].get("jobs_at_once", 1)
    if count == 1:
        return draw()
    with processes(count) as pool:
        return draw(pool.map)


def _environment(out: pathlib.Path) -> dict:
    return json.loads((out / "environment.json").read_text("utf-8"))


def _notes(recipe: Recipe, regimes: list[Regime], weights: Weights | None) -> list[str]:
    where = recipe.deployment
    notes = [
        f"Deployment sample: test split of the {where.sample}, scored against "
        f"{'true redshifts' if where.truth == 'z_true' else 'its labels'}."
    ]
    if weights is not None:
        notes.append(
            f"Its objects are weighted to resemble {where.like}: effective size "
            f"{weights.effective_size:.0f}, and {weights.unsupported:.1%} of the "
            "deployment objects have no test object near them: nothing is known there."
        )
    if recipe.folds > 1:
        notes.append(
            f"{recipe.folds} folds: every object is tested once, by models that did "
            "not see it; counts of labels and costs are those of one fold."
        )
    if recipe.seeds < 5:
        notes.append(
            f"Seeds: {recipe.seeds}. Differences are called resolved from 5 on."
        )
    if recipe.search:
        notes += _of_search(recipe, regimes)
    else:
        notes.append("Rates were fixed beforehand; validation labels chose the epoch.")
    notes.append("The peak memory is that of the process up to the end of the job.")
    return notes


def _of_search(recipe: Recipe, regimes: list[Regime]) -> list[str]:
    """Returns who chose from the grid, and who among those that train did not."""
    grid = ", ".join(f"{key} {value}" for key, value in recipe.search.items())
    fixed = [
        one.name
        for one in regimes
        if one.trains and not (one.searched and recipe.search.keys() - one.training)
    ]
    notes = [
        f"Regimes that train chose from the same grid ({grid}) and their epoch on the "
        "validation labels, at the first seed of each label fraction."
    ]
    if fixed:
        notes.append(f"Not so {', '.join(fixed)}, whose settings are their row's own.")
    return notes


def _samples(tables: Tables, experiment: Experiment) -> dict[str, dict]:
    recipe = experiment.recipe
    words = {
        "source": recipe.source.survey if recipe.source else "",
        "target": recipe.target.survey,
        "both": "test splits of source and target",
        "deployment": f"the {recipe.deployment.sample}'s test split",
    }
    return {
        scored.name: {
            "n": int(scored.mask.sum()),
            "truth": scored.truth,
            "description": words[scored.name],
            "magnitude": report.magnitude_facts(
                tables.first["magnitude"][scored.mask],
                _magnitude_band(experiment, scored.name),
            ),
        }
        for scored in reversed(tables.samples)
    }


def _magnitude_band(experiment: Experiment, sample: str) -> str | None:
    """Returns the band of a sample's magnitudes, None if undeclared or mixed."""
    where = experiment.recipe.deployment.sample
    names = {"both": ("source", "target"), "deployment": (where,)}.get(
        sample, (sample,)
    )
    splits = [getattr(experiment, name, None) for name in names]
    facts = [s["test"].info.metadata for s in splits if s]
    bands = {one.get("magnitude_band", one.get("reference_band")) for one in facts}
    return bands.pop() if len(bands) == 1 else None


def _licences(experiment: Experiment) -> list[dict]:
    licences = {}
    for splits in filter(None, (experiment.source, experiment.target)):
        info = splits["test"].info
        licences[info.name] = {
            "survey": info.name,
            "licence": info.metadata.get("licence", "not stated"),
            "acknowledgement": info.metadata.get("acknowledgement", ""),
        }
    return list(licences.values())


def _predictions(tables: Tables) -> dict[str, np.ndarray]:
    parts: list[dict[str, np.ndarray]] = []
    where = tables.recipe.deployment.sample
    weights = next((s.weights for s in tables.samples if s.name == "deployment"), None)
    for (case, seed), table in tables.tables.items():
        n = len(table["id"])
        weight = np.ones(n)
        if weights is not None:
            weight[table["sample"] == where] = weights
        fraction = case.fraction or 0.0
        facts = {"regime": case.regime, "seed": seed, "fraction": fraction}
        columns = {key: np.full(n, value) for key, value in facts.items()}
        parts.append({**columns, **table, "weight": weight})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

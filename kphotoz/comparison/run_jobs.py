"""Runs the jobs of a comparison; each ends in a folder of its own, or is done again."""

import dataclasses
import itertools
import pathlib
from typing import Any

from kphotoz import backend, recipes
from kphotoz.comparison import base_cache
from kphotoz.comparison.plan import Job, jobs
from kphotoz.comparison.workers import choose_count, fits, run_apart
from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime, select
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.fit import prediction_columns
from kphotoz.regimes.regime import base as regime_of_base
from kphotoz.regimes.resolved import resolved
from kphotoz.regimes.run_regime import Result, run, settings_of
from kphotoz.regimes.sweep import expand
from kphotoz.training import environment
from kphotoz.training.progress import Reporter
from kphotoz.training.run_folder import RunFolder, write_parquet
from kphotoz.training.settings import Training

__all__ = ["compare", "count_before"]


def compare(
    recipe: Recipe,
    out: pathlib.Path,
    *,
    resume: bool,
    reporter: Reporter,
    at_once: int | None = 1,
) -> tuple[Experiment, list[Regime]]:
    """Runs every job of a recipe that has not ended yet.

    The caller holds the folder's lock, `RunFolder(out).alone()`, until `summarize` has
    written what was found: another command would sweep away what is half written.

    Args:
        recipe: Recipe. Fully resolved.
        out: path. The comparison's folder; jobs write below `jobs/`.
        resume: bool. Go on in an existing folder.
        reporter: Reporter.
        at_once: int > 0 or None. Jobs to run at once, each in a process of its own
            where there are several, with its share of the threads; None to go on with
            as many as before if they fit, else to choose by device and memory.

    Returns:
        The experiment and its regimes, for the aggregation.
    """
    regimes = select(recipe.regimes, recipe.overrides, recipe.source is not None)
    regimes = expand(regimes, recipe.sweep, recipe.overrides)
    base = regime_of_base(recipe.overrides.get("base"))
    for regime in (base, *regimes):  # wrong settings are told before hours of work
        for changes in _points(_grid(regime, recipe)):
            settings_of(regime, recipe, **changes)
    folder = RunFolder(out)
    folder.claim(recipes.dump(resolved(recipe, [base, *regimes])), resume)
    experiment = _open(recipe, regimes, reporter)
    known = {regime.name: regime for regime in (base, *regimes)}
    planned = jobs(recipe, regimes)
    before, size = count_before(folder), experiment.input_bytes
    if at_once is None and before and fits(before, size):
        at_once = before
    count = at_once or choose_count(size, len(planned))
    facts = {"jobs_at_once": count, "data": experiment.fingerprint()}
    if note := folder.settle(environment.describe() | facts):
        reporter.line(note)
    _run_jobs(planned, known, experiment, out, reporter, count)
    return experiment, regimes


def count_before(folder: RunFolder) -> int | None:
    """Returns how many jobs ran at once before a kill, None where nothing ran.

    It decides about the threads of a job, and so about its bits.

    Args:
        folder: RunFolder. The comparison's.
    """
    if not (folder.path / "environment.json").exists():
        return None
    count = folder.read_json("environment").get("jobs_at_once")
    return count if isinstance(count, int) and count > 0 else None


def _open(recipe: Recipe, regimes: list[Regime], reporter: Reporter) -> Experiment:
    reporter.line("opening the surveys")
    experiment = Experiment.open(recipe)
    for name, splits in (("source", experiment.source), ("target", experiment.target)):
        if splits:
            sizes = ", ".join(f"{len(s)} {k}" for k, s in splits.items())
            reporter.line(f"{name}: {splits['train'].info.name}, {sizes}")
    experiment.check(regimes)
    for note in experiment.notes:
        reporter.line(note)
    return experiment


def _run_jobs(
    planned: list[Job],
    known: dict[str, Regime],
    experiment: Experiment,
    out: pathlib.Path,
    reporter: Reporter,
    count: int,
) -> None:
    recipe = experiment.recipe
    todo = [job for job in planned if not _folder(out, job).finished]
    if count > 1 and todo:
        reporter.line(f"{count} jobs at once")
        ended = run_apart(
            todo,
            lambda job: _needs(job, known[job.regime], recipe) & set(todo),
            _work_apart,
            lambda job: (job, known[job.regime], recipe, out),
            count,
        )
    else:
        ended = ((j, _work(j, known[j.regime], experiment, out)) for j in todo)
    with reporter.bar(len(planned), "jobs") as step:
        step.advance(len(planned) - len(todo))
        for job, time in ended:
            reporter.line(f"{job.name}: {time}")
            step.advance()


def _folder(out: pathlib.Path, job: Job) -> RunFolder:
    return RunFolder(out / "jobs" / job.name)


def _needs(job: Job, regime: Regime, recipe: Recipe) -> set[Job]:
    """Returns the jobs whose files this one reads."""
    needed = set()
    if regime.trainable.start == "base":
        needed.add(_base_of(job))
    if _grid(regime, recipe) and job.seed:
        needed.add(dataclasses.replace(job, seed=0))
    return needed


def _base_of(job: Job) -> Job:
    return Job("base", job.seed, None, job.fold)


def _work_apart(job: Job, regime: Regime, recipe: Recipe, out: pathlib.Path) -> str:
    """Does a job in a process of its own, which opens the surveys once."""
    key = recipes.dump(recipe)
    if key not in _opened:
        _opened.clear()
        _opened[key] = Experiment.open(recipe)
    return _work(job, regime, _opened[key], out)


_opened: dict[str, Experiment] = {}


def _work(
    job: Job,
    regime: Regime,
    experiment: Experiment,
    out: pathlib.Path,
) -> str:
    """Does a job and returns the time that it took, in words."""
    folder, base = _folder(out, job), _folder(out, _base_of(job)).path
    experiment = experiment.folds[job.fold]
    # What earlier jobs compiled would otherwise stay in memory to the end.
    backend.clear_session()
    result, settings = _searched(job, regime, experiment, out, base)
    folder.path.mkdir(parents=True, exist_ok=True)
    tests = experiment.tests()
    columns = prediction_columns(result, tests)
    if result.model is not None and (job.regime == "base" or job.seed == 0):
        _store(result, regime, folder, base)
    result.cost["stored_bytes"] = _stored_bytes(folder)
    folder.save_history(result.history)
    write_parquet(folder.path / "predictions.parquet", columns)
    folder.save_json("cost", result.cost)
    folder.save_json(
        "metrics",
        {
            "score": result.score,
            "settings": settings.model_dump(),
            "n_labels": experiment.label_count(job.fraction, job.seed),
        },
    )
    earlier = " in an earlier comparison" if result.cost.get("reused") else ""
    return f"{result.cost['seconds']:.0f} s{earlier}"


def _grid(regime: Regime, recipe: Recipe) -> dict[str, list]:
    if not (regime.searched and regime.trains):
        return {}
    # What the row itself says is not searched: every point would be the same job.
    return {k: v for k, v in recipe.search.items() if k not in regime.training}


def _points(grid: dict[str, list]) -> list[dict]:
    """Returns the combinations of a grid; of an empty one the only one, of nothing."""
    return [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]


def _searched(
    job: Job,
    regime: Regime,
    experiment: Experiment,
    out: pathlib.Path,
    base: pathlib.Path,
) -> tuple[Result, Training]:
    """Runs a job; the first seed tries the grid, the others take its choice."""
    grid = _grid(regime, experiment.recipe)
    arguments: dict[str, Any] = {
        "seed": job.seed,
        "fraction": job.fraction or 1.0,
        "base": base / "model.keras",
    }
    if grid and job.seed > 0:
        first = _folder(out, dataclasses.replace(job, seed=0))
        settings = first.settings()
        return run(regime, experiment, settings=settings, **arguments), settings
    best: tuple[Result, Training] | None = None
    for changes in _points(grid):
        settings = settings_of(regime, experiment.recipe, **changes)
        if job.regime == "base":
            result = base_cache.kept(
                run, regime, experiment, seed=job.seed, settings=settings
            )
        else:
            result = run(regime, experiment, settings=settings, **arguments)
        if best is None or result.score < best[0].score:
            best = result, settings
    assert best is not None  # a grid has one point at least
    return best


def _store(
    result: Result, regime: Regime, folder: RunFolder, base: pathlib.Path
) -> None:
    if regime.keeps_adapter:
        folder.save_adapter(result.model, base)
    elif regime.trainable.moves != "nothing":
        folder.save_model(result.model)


def _stored_bytes(folder: RunFolder) -> int | None:
    files = [folder.path / n for n in ("adapter.safetensors", "model.keras")]
    return next((f.stat().st_size for f in files if f.exists()), None)

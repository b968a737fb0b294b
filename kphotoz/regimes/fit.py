"""One fit into one run folder: a base model, or a base adapted by a regime."""

import contextlib
import itertools
import pathlib
import tempfile
from collections.abc import Iterator

import numpy as np

from kphotoz import backend, data, recipes
from kphotoz.errors import InputError
from kphotoz.features.photometry import to_magnitudes
from kphotoz.files import hash_file
from kphotoz.metrics.strata import in_window
from kphotoz.recipes import Recipe
from kphotoz.regimes import regime as regimes
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.resolved import resolved
from kphotoz.regimes.run_regime import Result, run, settings_of
from kphotoz.training import environment
from kphotoz.training.progress import Reporter
from kphotoz.training.run_folder import RunFolder, write_parquet

__all__ = ["digits", "fit", "prediction_columns"]


def fit(
    recipe: Recipe,
    name: str,
    out: pathlib.Path,
    *,
    base: pathlib.Path | None,
    seed: int,
    fraction: float,
    resume: bool,
    reporter: Reporter,
) -> dict:
    """Trains into a run folder and returns its metrics.

    Of several processes that train together the first writes the folder. The others do
    the same work in a temporary one.

    Args:
        recipe: Recipe. Fully resolved.
        name: str. "base", or a regime.
        out: path of the run folder.
        base: path of a run folder with `model.keras`, or None.
        seed: int. Initialisation, order of data, choice of the label fraction.
        fraction: float in (0, 1]. Share of the target's labels.
        resume: bool. Go on in an existing folder, to the bits of an unkilled run.
        reporter: Reporter.

    Raises:
        InputError: no base where one is needed, or a folder of another run.
    """
    regime = _regime(recipe, name)
    model = _base_model(base, regime)
    identity = recipes.dump(resolved(recipe, [regime]))
    identity += f"# fit {name} seed {seed} fraction {digits(fraction)}"
    if model is not None:
        identity += f" base {hash_file(model)}"
    with _folder(out) as folder:
        with backend.first_alone():
            folder.claim(identity + "\n", resume)
        if _finished(folder):
            reporter.line("this run has ended already")
            folder.clear_checkpoints()  # a kill after the metrics leaves them
            return folder.read_json("metrics")
        with backend.first_alone():  # builds the surveys for all
            # One model has one test set: the survey's own.
            experiment = Experiment.open(recipe.model_copy(update={"folds": 1}))
        settings = settings_of(regime, recipe)
        if recipe.search and regime.searched and regime.trains:
            given = {name: getattr(settings, name) for name in recipe.search}
            words = ", ".join(f"{name} {value}" for name, value in given.items())
            reporter.line(f"{words} as given: only compare searches")
        facts = environment.describe(seed) | {"data": experiment.fingerprint()}
        with backend.first_alone():
            if note := folder.settle(facts):
                reporter.line(note)
        result = run(
            regime,
            experiment,
            seed=seed,
            fraction=fraction,
            base=model,
            settings=settings,
            checkpoints=folder.path / "checkpoints",
            log=reporter.line,
        )
        return _write(result, regime, experiment, folder, base)


def digits(number: float) -> str:
    """Returns a number in as few digits as tell it from all others."""
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


@contextlib.contextmanager
def _folder(out: pathlib.Path) -> Iterator[RunFolder]:
    """Yields the run folder, or one to throw away in all processes but the first."""
    with contextlib.ExitStack() as stack:
        if backend.process()[0]:
            kept = tempfile.TemporaryDirectory(prefix="kphotoz-")
            out = pathlib.Path(stack.enter_context(kept)) / out.name
        folder = RunFolder(out)
        with backend.first_alone():
            stack.enter_context(folder.alone())
        yield folder


def _finished(folder: RunFolder) -> bool:
    """Returns whether the run ended; gives all processes what the first left behind."""
    for name in ("metrics.json", "checkpoints/last.safetensors"):
        path = folder.path / name
        content = backend.broadcast(path.read_bytes() if path.exists() else b"")
        if content and not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    return folder.finished


def _regime(recipe: Recipe, name: str) -> regimes.Regime:
    if name == "base":
        if recipe.source is None:
            raise InputError(
                "Wanted: a source survey to train a base on. Received: none. "
                "Give --source, or --regime from_scratch."
            )
        return regimes.base(recipe.overrides.get("base"))
    # A base that is given needs no source; only what trains on source rows does.
    chosen = regimes.select([name], recipe.overrides, True)[0]
    if chosen.reads_source and recipe.source is None:
        regimes.select([name], recipe.overrides, False)  # tells so
    if not chosen.trains and not chosen.refits:
        raise InputError(
            f"Wanted: a regime that changes a network. Received: {name}. "
            "`kphotoz compare` runs it beside the others."
        )
    return chosen


def _base_model(
    base: pathlib.Path | None, regime: regimes.Regime
) -> pathlib.Path | None:
    needs = regime.trainable.start == "base"
    if needs != (base is not None):
        received = f"--base {base}" if base else "no --base"
        wanted = "--base RUN" if needs else "no --base"
        raise InputError(
            f"Wanted: {wanted} for regime {regime.name}. Received: {received}. "
            "A base is made by `kphotoz fit` without --regime."
        )
    if base is None:
        return None
    model = base / "model.keras"
    if not model.exists():
        raise InputError(
            f"Wanted: a run folder with model.keras. Received: {base}, without it."
        )
    return model


def _write(
    result: Result,
    regime: regimes.Regime,
    experiment: Experiment,
    folder: RunFolder,
    base: pathlib.Path | None,
) -> dict:
    if regime.keeps_adapter and base is not None:
        folder.save_adapter(result.model, base)
    else:
        folder.save_model(result.model)
    columns = prediction_columns(result, experiment.tests())
    write_parquet(folder.path / "predictions.parquet", columns)
    folder.save_history(result.history)
    folder.save_json("cost", result.cost)
    folder.save_json("metrics", {"metrics": _metrics(columns, experiment)})
    folder.clear_checkpoints()
    return folder.read_json("metrics")


def _metrics(columns: dict[str, np.ndarray], experiment: Experiment) -> list[dict]:
    chosen = experiment.recipe.evaluation
    rows = []
    for sample in dict.fromkeys(columns["sample"]):
        mask = columns["sample"] == sample
        label, true = columns["z_label"][mask], columns["z_true"][mask]
        truths = {"label": label}
        if np.isfinite(true).all() and not np.array_equal(true, label):
            truths["z_true"] = true
        for (truth, z), window in itertools.product(truths.items(), chosen.ranges):
            estimates = in_window(
                columns["z_pred"][mask],
                z,
                chosen.metrics,
                window,
                groups=columns["group"][mask],
                grid=chosen.grid,
                draws=chosen.draws,
            )
            rows += [
                {"sample": str(sample), "truth": truth, **estimate.as_dict()}
                for estimate in estimates
            ]
    return rows


def prediction_columns(result: Result, tests: dict) -> dict[str, np.ndarray]:
    """Returns the predictions of all test samples as the columns of one table."""
    parts = []
    for name, sample in tests.items():
        table = sample.table
        parts.append(
            {
                "sample": np.full(len(sample), name),
                "id": table["id"],
                "group": data.object_names(sample),
                "z_label": table["redshift"],
                "z_true": table["z_true"],
                "z_pred": result.predict(sample),
                "magnitude": table["magnitude"],
                **_colours(sample),
            }
        )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _colours(sample: "data.Sample") -> dict[str, np.ndarray]:
    """Returns the colours of adjacent bands of a catalogue [mag], by name."""
    if sample.info.kind != "catalog":
        return {}
    magnitudes, bands = to_magnitudes(sample.inputs()), sample.info.bands
    return {
        f"{a}-{b}": magnitudes[:, i] - magnitudes[:, i + 1]
        for i, (a, b) in enumerate(zip(bands[:-1], bands[1:], strict=True))
    }

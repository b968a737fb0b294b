"""Runs one regime: prepares the model, trains what moves, verifies that it did."""

import dataclasses
import functools
import math
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np

from kphotoz import adapters, backend, data, models
from kphotoz.errors import InputError, message_of
from kphotoz.kernels.head import last_linear
from kphotoz.recipes import Recipe
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.forest import PhotometryForest
from kphotoz.regimes.frozen import split
from kphotoz.regimes.moving import let_move
from kphotoz.regimes.refit import refit
from kphotoz.regimes.regime import Regime, Trainable
from kphotoz.training import loop, outputs
from kphotoz.training.environment import peak_memory_gib
from kphotoz.training.settings import Training

__all__ = ["Result", "run", "settings_of"]


@dataclasses.dataclass
class Result:
    """What a regime returns: a predictor, its cost, how training went."""

    model: keras.Model | None
    forest: PhotometryForest | None
    history: list[dict]
    score: float
    cost: dict

    def predict(self, sample: "data.Sample") -> np.ndarray:
        """Returns redshifts (n,) for a sample."""
        if self.forest is not None:
            return self.forest.predict(sample)
        return outputs.predict(self.model, sample)


def settings_of(regime: Regime, recipe: Recipe, **changes: float) -> Training:
    """Returns the training settings: recipe, the regime's row, changes."""
    fields = recipe.training.model_dump()
    try:
        settings = Training(**{**fields, **changes, **regime.training})
    except ValueError as error:
        raise InputError(
            f"Training settings of {regime.name}. Wanted: fields of `training`. "
            f"Received: {message_of(error)}. Correct them."
        ) from error
    backend.check_batch(settings.batch_size)
    return settings


def run(
    regime: Regime,
    experiment: Experiment,
    *,
    seed: int,
    fraction: float = 1.0,
    base: pathlib.Path | None = None,
    settings: Training | None = None,
    checkpoints: pathlib.Path | None = None,
    log: Callable[[str], None] | None = None,
) -> Result:
    """Runs a regime once.

    Args:
        regime: Regime, that of the base among them.
        experiment: Experiment. Samples and task.
        seed: int. Initialisation, order of data and choice of the label fraction.
        fraction: float in (0, 1]. Share of the target's labels.
        base: path of the base model, for regimes that start from it.
        settings: Training. [default: what recipe and regime say]
        checkpoints: folder for resuming, or None.
        log: called with one line per epoch.

    Raises:
        InputError: a frozen weight moved, or an adapter factor did not.
    """
    settings = settings or settings_of(regime, experiment.recipe)
    start = time.monotonic()
    keras.utils.set_random_seed(seed)
    if regime.trainable.moves == "nothing":
        return _finish(_load(base), None, None, start)
    samples = experiment.training(regime.data, fraction, seed)
    if regime.trainable.moves == "forest":
        forest = PhotometryForest(seed).fit(*samples, experiment.task.label)
        return _finish(None, forest, None, start)
    model, outcome = _prepare(regime, experiment, samples[0], seed, base), None
    if regime.trains:
        moving, fed = _without_fixed(regime.trainable, experiment, model, samples)
        prepared = time.monotonic() - start
        outcome = loop.train(
            moving,
            *fed,
            task=experiment.task,
            settings=settings,
            seed=seed,
            verify=functools.partial(_verify, adapters.snapshot(model), model),
            checkpoints=checkpoints,
            log=log,
        )
        # What a killed run took before counts as well.
        start = time.monotonic() - prepared - outcome.seconds
    result = _finish(model, None, outcome, start)
    if regime.refits:
        return _refitted(regime, result, samples, experiment, settings)
    return result


def _refitted(
    regime: Regime,
    result: Result,
    samples: tuple["data.Sample", "data.Sample"],
    experiment: Experiment,
    settings: Training,
) -> Result:
    """Returns the result with the last layer solved for, in a model of plain layers."""
    start, model = time.monotonic(), result.model
    if adapters.count(model):
        model = adapters.merge(model)
    both = regime.data == "source+target"
    source_rows = len(experiment.of_source("train")) if both else 0
    model, score = refit(model, samples, experiment.task, settings, source_rows)
    cost = result.cost
    cost["trainable_parameters"] = max(
        cost["trainable_parameters"], last_linear(model).count_params()
    )
    cost["examples_seen"] += len(samples[0])
    cost["seconds"] += time.monotonic() - start
    return dataclasses.replace(result, model=model, score=score)


def _prepare(
    regime: Regime,
    experiment: Experiment,
    sample: "data.Sample",
    seed: int,
    base: pathlib.Path | None,
) -> keras.Model:
    what = regime.trainable
    if what.start == "fresh":
        return experiment.fresh(sample, seed)
    model = _load(base)
    models.check_input(model, sample.info)
    if what.moves == "refit":
        return model
    if what.moves == "lora":
        model = adapters.apply(
            model,
            rank=what.rank,
            alpha=what.alpha,
            dropout=what.dropout,
            targets=what.targets,
            start=what.factors,
            dora=what.dora,
            # As published: the last linear layer is adapted however small it is.
            allow_full_rank=True,
            batch_norm=what.batch_norm,
            seed=seed,
        )
        adapters.fold_training(model)
        return model
    return let_move(model, what)


def _load(path: pathlib.Path | None) -> keras.Model:
    """Returns a base, which may be a user's, if it has one redshift per object."""
    if path is None:
        raise InputError("Wanted: base=PATH, to start from. Received: none.")
    model = models.load(path)
    shape = getattr(model, "output_shape", (None, 1))
    if shape != (None, 1):
        raise InputError(
            f"Wanted: a base with one redshift per object. Received: {path} with "
            f"outputs of shape {shape}. Give it a last layer of one unit."
        )
    return model


def _without_fixed(
    what: Trainable,
    experiment: Experiment,
    model: keras.Model,
    samples: tuple["data.Sample", "data.Sample"],
) -> tuple[keras.Model, tuple["data.Sample", "data.Sample"]]:
    """Returns what is left to train, on what, without that which no step changes."""
    head_only = what.moves in ("last", "head") and what.batch_norm == "freeze"
    halves = split(model, head_only=head_only)
    if halves is None:
        return model, samples
    train, validation = (experiment.features.of(s, halves) for s in samples)
    return halves.above, (train, validation)


def _verify(before: dict[str, str], model: keras.Model, steps: int) -> None:
    """Stops the run if a frozen weight moved, or an adapter's factor did not."""
    adapters.check_moved(before, model, steps)


def _finish(
    model: keras.Model | None,
    forest: PhotometryForest | None,
    outcome: loop.Outcome | None,
    start: float,
) -> Result:
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables) if (
        model is not None and outcome is not None
    ) else 0  # fmt: skip
    cost = {
        "trainable_parameters": trainable,
        "examples_seen": outcome.examples_seen if outcome else 0,
        "seconds": time.monotonic() - start,
        "peak_memory_gib": peak_memory_gib(),
    }
    history = outcome.history if outcome else []
    score = outcome.best_score if outcome else math.nan
    return Result(model, forest, history, score, cost)

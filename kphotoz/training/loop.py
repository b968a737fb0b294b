"""Trains one model on one sample, can be killed at any moment, checks itself.

Each epoch's order of data is a pure function of (seed, epoch) and a checkpoint holds
every variable, so a resumed run replays exactly what the killed one would have done.
"""

import dataclasses
import functools
import itertools
import math
import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np
import pydantic

from kphotoz import backend, data
from kphotoz.adapters.paths import walk
from kphotoz.errors import message_of
from kphotoz.tasks import RedshiftTask
from kphotoz.training import checkpoint, optimizer
from kphotoz.training.outputs import predict
from kphotoz.training.schedule import Plateau
from kphotoz.training.settings import Training
from kphotoz.training.smoothing import smooth

__all__ = ["Outcome", "clamped_labels", "train"]

_CHECKPOINT_SECONDS = 20.0
# The steps after which a model's movements are checked: the first factor of an adapter
# moves at step 1, the second only once the first is non-zero.
_CHECKED_STEPS = (1, 2)


@dataclasses.dataclass
class Outcome:
    """What training did: a row per epoch, the best score, and the examples seen.

    `best_score` is the lowest smoothed score, which chose `best_epoch`. `seconds` holds
    what a run that was killed took up to its checkpoint.
    """

    history: list[dict]
    best_epoch: int
    best_score: float
    examples_seen: int
    seconds: float


@dataclasses.dataclass
class _Progress:
    __pydantic_config__ = pydantic.ConfigDict(
        extra="forbid", arbitrary_types_allowed=True
    )

    epoch: int = 0
    best_epoch: int = -1
    best_score: float = math.inf
    history: list[dict] = dataclasses.field(default_factory=list)
    smoothed: float | None = None
    waited: int = 0  # evaluations since the best
    plateau: Plateau | None = None
    best: dict[str, np.ndarray] | None = None
    seconds: float = 0.0  # up to the checkpoint, all pieces of a killed run together


_PROGRESS = pydantic.TypeAdapter(_Progress)


def train(
    model: keras.Model,
    train_sample: "data.Sample",
    validation: "data.Sample",
    *,
    task: RedshiftTask,
    settings: Training,
    seed: int,
    verify: Callable[[int], None] | None = None,
    checkpoints: pathlib.Path | None = None,
    log: Callable[[str], None] | None = None,
) -> Outcome:
    """Trains `model` in place; leaves it with the weights of its best epoch.

    Args:
        model: keras.Model. Uncompiled, raw survey pixels in, redshift out.
        train_sample: Sample. What is learned from.
        validation: Sample. Chooses the epoch.
        task: RedshiftTask. Loss and score.
        settings: Training. Rate, epochs, batch and so on.
        seed: int. Decides the order of data.
        verify: called with the steps taken, 1 and 2, to check that what should move
            moves and nothing else does; it raises otherwise.
        checkpoints: folder, or None for work too short to be resumed.
        log: called with one line per epoch.
    """
    began = time.monotonic()
    steps = math.ceil(len(train_sample) / settings.batch_size)
    epochs = max(settings.epochs, math.ceil(settings.minimum_steps / steps))
    _compile(model, task, settings, steps, epochs)
    run = _Run(model, validation, task, settings, epochs, checkpoints, log, began)
    checks = list(_CHECKED_STEPS[run.progress.epoch * steps :]) if verify else []
    batches = data.TrainingBatches(
        train_sample,
        batch_size=settings.batch_size,
        seed=seed,
        labels=clamped_labels(train_sample, task, settings),
    )
    sizes = [settings.batch_size] * (steps - 1)
    sizes.append(len(train_sample) - sum(sizes))
    while not run.is_over():
        if checks or backend.replicas() > 1:
            fit = functools.partial(batches.fit, model, run.progress.epoch)
            with backend.synchronize(walk(model).values()):
                loss = _epoch(fit, sizes, checks, verify)
            run.end_epoch(loss)
        else:
            batches.fit_epochs(model, range(run.progress.epoch, epochs), run.end_epoch)
    return run.outcome(len(train_sample))


def _compile(
    model: keras.Model, task: RedshiftTask, settings: Training, steps: int, epochs: int
) -> None:
    rule = optimizer.build(settings, steps * epochs)
    loss = task.loss(settings.loss)
    model.compile(
        optimizer=rule,
        loss=loss,
        jit_compile=backend.jit_compile(),
        steps_per_execution=backend.steps_per_call(steps),
    )
    rule.build(model.trainable_variables)


def clamped_labels(
    sample: "data.Sample", task: RedshiftTask, settings: Training
) -> np.ndarray:
    """Returns the labels (n,) that are learned, cut to the settings' range."""
    labels = sample.table[task.label]
    return np.clip(labels, *settings.label_clamp) if settings.label_clamp else labels


def _epoch(
    fit: Callable[..., float],
    sizes: list[int],
    checks: list[int],
    verify: Callable | None,
) -> float:
    """Trains on one epoch and returns its loss; the first steps are checked singly.

    A last batch that several devices cannot share evenly is a call of its own.

    Args:
        fit: trains on a part of the epoch and returns its loss.
        sizes: the examples in each batch.
    """
    alone = checks[: len(sizes)]
    del checks[: len(sizes)]
    edges = {*range(len(alone) + 1), len(sizes)}
    if sizes[-1] % backend.replicas():
        edges.add(len(sizes) - 1)
    losses, weights = [], []
    for first, end in itertools.pairwise(sorted(edges)):
        losses.append(fit(first_step=first, steps=end - first))
        weights.append(sum(sizes[first:end]))
        if verify is not None and first < len(alone):
            verify(alone[first])
    return float(np.average(losses, weights=weights))


class _Run:
    """A model in training: what evaluates it, how far it is, where that is kept.

    Args:
        model: compiled model; values of a checkpoint in the folder are put into it.
        validation, task, settings, log: as for `train`.
        epochs: int. The most that there may be.
        folder: of checkpoints, or None.
        began: seconds on the monotonic clock at which this process began the run.
    """

    def __init__(
        self,
        model: keras.Model,
        validation: "data.Sample",
        task: RedshiftTask,
        settings: Training,
        epochs: int,
        folder: pathlib.Path | None,
        log: Callable[[str], None] | None,
        began: float,
    ) -> None:
        self.model, self.validation, self.task = model, validation, task
        self.settings, self.epochs, self.folder = settings, epochs, folder
        self.log = log or (lambda line: None)
        self.progress = _resume(model, folder, settings)
        self.began = began - self.progress.seconds
        self.saved = time.monotonic()

    def is_over(self) -> bool:
        """Returns whether no other epoch follows."""
        patience = self.settings.early_stopping
        waited = patience is not None and self.progress.waited >= patience
        return waited or self.progress.epoch >= self.epochs

    def end_epoch(self, loss: float) -> bool:
        """Takes note of an epoch; returns whether another follows."""
        progress = self.progress
        progress.epoch += 1
        # Small samples take many short epochs: evaluate as often as of a large one.
        between = progress.epoch % (self.epochs // self.settings.epochs)
        if between and progress.epoch != self.epochs:
            return True
        score = self._evaluate()
        self._note(loss, score)
        self.log(
            f"epoch {progress.epoch}/{self.epochs}: loss {loss:.4f}, "
            f"validation score {score:.4f}"
        )
        due = time.monotonic() - self.saved > _CHECKPOINT_SECONDS
        if self.folder is not None and (due or self.is_over()):
            progress.seconds = time.monotonic() - self.began
            _save(self.model, self.folder, progress)
            self.saved = time.monotonic()
        return not self.is_over()

    def _evaluate(self) -> float:
        """Returns the validation score; keeps the weights if it is the best so far."""
        model, progress, truth = self.model, self.progress, self.validation.table
        averaged = model.trainable_variables if model.optimizer.use_ema else []
        raw = _arrays(averaged)
        if averaged:
            model.optimizer.write_average(averaged)
        prediction = predict(model, self.validation)
        score = self.task.score(prediction, truth[self.task.label])
        smoothed = smooth(progress.smoothed, score, self.settings.score_smoothing)
        progress.smoothed = smoothed
        progress.waited += 1
        if smoothed < progress.best_score or progress.best is None:
            progress.best_score, progress.best_epoch = smoothed, progress.epoch
            progress.best = _weights(model)
            progress.waited = 0
        for variable, array in zip(averaged, raw, strict=True):
            variable.assign(array)
        return score

    def _note(self, loss: float, score: float) -> None:
        """Adds a row to the history; a plateau schedule sets the next epoch's rate."""
        progress = self.progress
        row: dict[str, float | None] = {
            "epoch": progress.epoch,
            "loss": float(loss),
            "score": score,
        }
        if self.settings.score_smoothing != "none":
            row["smoothed_score"] = progress.smoothed
        if progress.plateau is not None:
            row["learning_rate"] = progress.plateau.rate
            self.model.optimizer.learning_rate = progress.plateau.step(score)
        progress.history.append(row)

    def outcome(self, examples: int) -> Outcome:
        """Returns what was done, with the best epoch's weights in the model."""
        progress = self.progress
        if progress.best is not None:
            _write_weights(self.model, progress.best)
        return Outcome(
            progress.history,
            progress.best_epoch,
            progress.best_score,
            progress.epoch * examples,
            time.monotonic() - self.began,
        )


def _arrays(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(x.value)) for x in variables]


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"{i:05d}": array for i, array in enumerate(_arrays(model.weights))}


def _write_weights(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    for index, weight in enumerate(model.weights):
        weight.assign(arrays[f"{index:05d}"])


def _save(model: keras.Model, folder: pathlib.Path, progress: _Progress) -> None:
    arrays, best = checkpoint.state(model), progress.best or {}
    arrays |= {f"best/{name}": array for name, array in best.items()}
    facts = dataclasses.asdict(dataclasses.replace(progress, best=None))
    checkpoint.save(folder / "last.safetensors", arrays, facts)


def _resume(
    model: keras.Model, folder: pathlib.Path | None, settings: Training
) -> _Progress:
    path = folder / "last.safetensors" if folder is not None else None
    if path is None or not path.exists():
        starts = settings.schedule == "plateau"
        return _Progress(plateau=Plateau(settings.learning_rate) if starts else None)
    arrays, facts = checkpoint.load(path)
    best = {
        name.removeprefix("best/"): array
        for name, array in arrays.items()
        if name.startswith("best/")
    }
    wanted = {f"{i:05d}": tuple(w.shape) for i, w in enumerate(model.weights)}
    if best and {name: array.shape for name, array in best.items()} != wanted:
        raise checkpoint.damaged_checkpoint(
            path, "the best weights are not this model's"
        )
    try:
        progress = _PROGRESS.validate_python(facts)
    except pydantic.ValidationError as error:
        raise checkpoint.damaged_checkpoint(path, message_of(error)) from error
    checkpoint.restore(model, arrays)
    return dataclasses.replace(progress, best=best)

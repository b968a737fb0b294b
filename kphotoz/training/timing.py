"""Times of training steps, measured side by side: input, precision, compilation."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kphotoz import backend, data, models
from kphotoz.errors import InputError
from kphotoz.tasks import RedshiftTask
from kphotoz.training import optimizer
from kphotoz.training.environment import describe
from kphotoz.training.settings import Training

__all__ = ["alternate", "compiled", "time_input", "time_steps", "waits"]

WAITING = 1.1  # a step with survey input may take so many times as long; our choice
_FITTED = 2000  # inputs that a model's start is fitted to, as in an experiment


def compiled(
    sample: "data.Sample",
    architecture: dict[str, Any],
    settings: Training,
    *,
    seed: int = 0,
    jit: bool | None = None,
) -> keras.Model:
    """Returns a fresh model of the sample's inputs, ready to train.

    Args:
        sample: Sample. Inputs, bands and labels.
        architecture: dict. `model` of a recipe.
        settings: Training. Loss and optimiser.
        seed: int. Start of the weights.
        jit: bool or None. Compile with XLA. [default: as training on this device does]
    """
    rows = np.linspace(0, len(sample) - 1, min(_FITTED, len(sample))).astype(int)
    model = models.build_photoz(
        architecture,
        sample.gather(rows),
        sample.table["redshift"][rows],
        bands=sample.info.bands,
        pixel_scale=sample.info.pixel_scale,
        zero_point=sample.info.zero_point,
        seed=seed,
    )
    steps = math.ceil(len(sample) / settings.batch_size)
    model.compile(
        optimizer=optimizer.build(settings, 1000),
        loss=RedshiftTask((0.0, 6.0)).loss(settings.loss),
        jit_compile=backend.jit_compile() if jit is None else jit,
        steps_per_execution=backend.steps_per_call(steps),
    )
    return model


def alternate(
    work: dict[str, Callable[[int], Any]], repeats: int
) -> dict[str, list[float]]:
    """Returns the seconds of each piece of work at each turn.

    The pieces take turns, in the other order at every second turn, so that a machine
    which slows down meets them alike. A first turn that is not counted warms them up.

    Args:
        work: dict of name to a function of the number of the turn.
        repeats: int > 0. Turns that count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name in list(work)[:: -1 if turn % 2 else 1]:
            start = time.perf_counter()
            work[name](turn)
            seconds[name].append(time.perf_counter() - start)
    return {name: each[1:] for name, each in seconds.items()}


def time_input(
    sample: "data.Sample",
    architecture: dict[str, Any],
    settings: Training,
    *,
    steps: int = 30,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns how much longer a step takes on a survey than on batches in memory.

    Each turn trains `steps` steps on the survey's own pipeline, in a new order, and as
    many on ready-made batches of the same galaxies in memory. The ratio is the median
    over the turns of the two sides of one turn.

    Args:
        sample: Sample. What to train on.
        architecture: dict. `model` of a recipe.
        settings: Training. Of which batch size, loss and optimiser are used.
        steps: int > 0. Steps in a turn, fewer where the sample is smaller.
        repeats: int > 0. Turns.
        seed: int. Order of the data and start of the model.

    Raises:
        InputError: the sample has not one whole batch.
    """
    size = settings.batch_size
    steps = min(steps, len(sample) // size)
    if steps < 1:
        raise InputError(
            f"Wanted: a batch of {size} galaxies or more. Received: {len(sample)}. "
            "Choose a larger survey or a smaller --batch-size."
        )
    start = time.perf_counter()
    sample.load()
    loading = time.perf_counter() - start
    used = sample.select(np.arange(steps * size))
    model = compiled(sample, architecture, settings, seed=seed)

    batches = data.TrainingBatches(used, batch_size=size, seed=seed)
    held = data.in_memory(batches.epoch(0))
    work = {
        "survey": lambda turn: batches.fit(model, turn),
        "memory": lambda turn: model.fit(held, shuffle=False, verbose=0),
    }
    times = alternate(work, repeats)
    seconds = {name: statistics.median(each) / steps for name, each in times.items()}
    ratios = [a / b for a, b in zip(times["survey"], times["memory"], strict=True)]
    return {
        "survey": sample.info.name,
        "step_seconds": seconds,
        "examples_per_second": {n: size / each for n, each in seconds.items()},
        "ratio": statistics.median(ratios),  # of neighbours in time
        "ratio_range": [min(ratios), max(ratios)],
        "fastest_ratio": min(times["survey"]) / min(times["memory"]),
        "load_seconds": loading,
        "batch_size": size,
        "steps": steps,
        "repeats": repeats,
        "environment": describe(seed),
    }


def waits(times: dict[str, Any]) -> bool | None:
    """Returns whether the device waits for data; None if other work hides it.

    The median of a busy machine and the fastest turns must agree: a neighbour that
    takes a core away doubles the time of whole turns, of either side.

    Args:
        found: dict as `time_input` returns it.
    """
    slow = {times[name] > WAITING for name in ("ratio", "fastest_ratio")}
    return slow.pop() if len(slow) == 1 else None


def time_steps(
    sample: "data.Sample",
    architecture: dict[str, Any],
    settings: Training,
    *,
    precisions: Sequence[str] | None = None,
    steps: int = 10,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns the seconds of a training step in each precision, with and without jit.

    All train on one batch in memory, so that input plays no part. JAX is measured with
    jit only: without, it runs operation by operation, which nobody trains with.

    Args:
        sample: Sample. Where the batch comes from.
        architecture: dict. `model` of a recipe.
        settings: Training. Of which batch size, loss and optimiser are used.
        precisions: Keras dtype policies. [default: float32 and the policy in force]
        steps: int > 0. Steps in a turn.
        repeats: int > 0. Turns.
        seed: int. Start of the models.
    """
    rows = np.arange(min(settings.batch_size, len(sample)))
    x = keras.ops.convert_to_tensor(sample.gather(rows))
    labels = sample.table["redshift"][rows].astype("float32")
    y = keras.ops.convert_to_tensor(labels[:, None])
    jits = (True,) if backend.name() == "jax" else (False, True)
    work = {}
    before = keras.config.dtype_policy()
    chosen = precisions or list(dict.fromkeys(("float32", before.name)))
    try:
        for precision in chosen:
            keras.config.set_dtype_policy(precision)
            for jit in jits:
                model = compiled(sample, architecture, settings, seed=seed, jit=jit)
                name = f"{precision}{', jit' if jit else ''}"
                work[name] = _steps(model, x, y, steps)
    finally:
        keras.config.set_dtype_policy(before)
    times = alternate(work, repeats)
    seconds = {name: statistics.median(each) / steps for name, each in times.items()}
    return {
        "step_seconds": seconds,
        "range": {n: [min(e) / steps, max(e) / steps] for n, e in times.items()},
        "examples_per_second": {n: len(rows) / each for n, each in seconds.items()},
        "batch_size": len(rows),
        "steps": steps,
        "repeats": repeats,
        "environment": describe(seed),
    }


def _steps(model: keras.Model, x: Any, y: Any, count: int) -> Callable[[int], None]:
    def run(turn: int) -> None:
        for _ in range(count):
            model.train_on_batch(x, y)

    return run

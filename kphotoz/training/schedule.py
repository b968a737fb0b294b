"""How the learning rate changes: along the steps, or when the score stands still."""

import dataclasses
import math

import keras

from kphotoz.training.settings import Training

__all__ = ["Plateau", "rate_of"]


@dataclasses.dataclass
class Plateau:
    """Divides the rate by ten once the score has stood still for six evaluations.

    An evaluation counts as better if it lies below 0.9999 times the best so far. A
    change of less than 1e-8 is not made, so that a rate that started at 1e-3 ends at
    1e-8.

    Args:
        rate: float > 0. The rate now.
        best: float. Lowest score so far. [default: infinity]
        waited: int. Judgements since. [default: 0]

    Source: torch's `ReduceLROnPlateau`, with its defaults for threshold and eps, and
    the factor 0.1 and patience 5 of Seenivasan et al. 2026, arXiv 2601.00146.
    """

    rate: float
    best: float = math.inf
    waited: int = 0

    FACTOR = 0.1
    PATIENCE = 5
    THRESHOLD = 1e-4
    LEAST_CHANGE = 1e-8

    def step(self, score: float) -> float:
        """Returns the rate after one more evaluation with this score."""
        if score < self.best * (1 - self.THRESHOLD):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.waited > self.PATIENCE:
            lower, self.waited = self.rate * self.FACTOR, 0
            if self.rate - lower > self.LEAST_CHANGE:
                self.rate = lower
        return self.rate


def rate_of(
    settings: Training, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns what an optimiser takes as its rate: a number, or a cosine of the step.

    Args:
        settings: Training. Rate, schedule and warm-up fraction.
        steps: int. Gradient steps of the whole run.
    """
    if settings.schedule != "cosine":
        return settings.learning_rate
    warmup = int(settings.warmup * steps)
    # A rate of zero at the first step would leave that step without effect.
    start = settings.learning_rate / (warmup + 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=start if warmup else settings.learning_rate,
        decay_steps=max(1, steps - warmup),
        alpha=0.01,  # our choice: the last steps still move
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )

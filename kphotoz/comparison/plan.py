"""Which jobs a comparison consists of, in the order in which they are run."""

import dataclasses

from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime

__all__ = ["Job", "jobs"]


@dataclasses.dataclass(frozen=True)
class Job:
    """One regime, one seed, one fraction of the target's labels.

    A fraction of 0 marks a regime that sees no target label; it is run once a seed.
    """

    regime: str
    seed: int
    fraction: float

    @property
    def name(self) -> str:
        """The job's folder name."""
        return f"{self.regime}-f{self.fraction:g}-s{self.seed}"


def jobs(recipe: Recipe, regimes: list[Regime]) -> list[Job]:
    """Returns all jobs, seed by seed, the base of a seed before what starts from it."""
    planned = []
    for seed in range(recipe.seeds):
        if any(r.trainable.start == "base" for r in regimes):
            planned.append(Job("base", seed, 0.0))
        for regime in regimes:
            fractions = recipe.fractions if regime.learns_from_target else (0.0,)
            planned += [Job(regime.name, seed, fraction) for fraction in fractions]
    return planned

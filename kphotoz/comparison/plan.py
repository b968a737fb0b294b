"""Which jobs a comparison consists of, in the order in which they are run."""

import dataclasses
import hashlib
import itertools
import re

from kphotoz.recipes import Recipe
from kphotoz.regimes import Regime
from kphotoz.regimes.fit import digits

__all__ = ["Job", "fractions_of", "jobs"]

_LONGEST = 150  # characters of a regime in a folder's name, which can have 255 bytes


@dataclasses.dataclass(frozen=True)
class Job:
    """One regime, one seed, one fraction of the target's labels, one fold.

    A regime that sees no target label has no fraction; it is run once a seed.
    """

    regime: str
    seed: int
    fraction: float | None
    fold: int = 0

    @property
    def name(self) -> str:
        """The job's folder name; what no folder should hold becomes a short hash."""
        regime = re.sub(r"[^\w.,=\[\]+-]", "", self.regime)
        if regime != self.regime or len(regime) > _LONGEST:
            regime = regime[:_LONGEST]
            regime += "-" + hashlib.sha256(self.regime.encode()).hexdigest()[:8]
        fold = f"-k{self.fold}" if self.fold else ""
        return f"{regime}-f{digits(self.fraction or 0.0)}-s{self.seed}{fold}"


def jobs(recipe: Recipe, regimes: list[Regime]) -> list[Job]:
    """Returns all jobs, seed by seed, the base of a seed before what starts from it."""
    planned = []
    for seed, fold in itertools.product(range(recipe.seeds), range(recipe.folds)):
        if any(r.trainable.start == "base" for r in regimes):
            planned.append(Job("base", seed, None, fold))
        for regime in regimes:
            fractions = fractions_of(regime, recipe)
            planned += [Job(regime.name, seed, share, fold) for share in fractions]
    return planned


def fractions_of(regime: Regime, recipe: Recipe) -> tuple[float | None, ...]:
    """Returns the shares of the target's labels that a regime is run with."""
    return recipe.fractions if regime.learns_from_target else (None,)

"""What all regimes of one recipe share: surveys, task, splits and initialisation."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterable

import keras
import numpy as np

from kphotoz import data
from kphotoz.errors import InputError
from kphotoz.recipes import Recipe
from kphotoz.regimes.deployment import Weights, weights_like
from kphotoz.regimes.dimming import degrade
from kphotoz.regimes.frozen import FrozenFeatures
from kphotoz.regimes.regime import Regime
from kphotoz.regimes.splits import (
    Splits,
    check_disjoint,
    check_filled,
    share_of_labels,
    without_duplicates,
)
from kphotoz.tasks import RedshiftTask

__all__ = ["Experiment"]

# Images from which stretches and normalisations are fitted (our choice: the fits are
# quantiles, good to a percent from this many).
_FITTED_ON = 2000
_EXTREMES_OF = 1_000_000


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The samples and the task of a recipe.

    Args:
        recipe: Recipe.
        source: splits by name, or None.
        target: splits by name.
        notes: what a reader of the results must know about the samples.
        fold: int or None. The fold that is tested, where the recipe has several; None
            for all of them together, which can be tested on but not trained on.
        features: features of frozen layers, which regimes and folds share.
    """

    recipe: Recipe
    source: Splits | None
    target: Splits
    notes: tuple[str, ...] = ()
    fold: int | None = None
    features: FrozenFeatures = dataclasses.field(
        default_factory=FrozenFeatures, compare=False, repr=False
    )

    @classmethod
    def open(cls, recipe: Recipe) -> "Experiment":
        """Opens (and where needed builds) the surveys of a recipe and checks them.

        Raises:
            InputError: labels out of range, or objects of a training set in a test set.
        """
        target = data.open_survey(recipe.target.survey, **recipe.target.options)
        source = None
        if recipe.source is not None:
            source = data.open_survey(recipe.source.survey, **recipe.source.options)
            source["train"].union(target["train"])  # refuses other bands or pixels
        notes = []
        if source is not None and recipe.duplicates is not None:
            source, left_out = without_duplicates(source, target, recipe.duplicates)
            notes.append(left_out)
        experiment = cls(recipe, source, target, tuple(notes))
        for splits in experiment.surveys.values():
            check_filled(splits)
            for name, sample in splits.items():
                experiment.task.check_labels(
                    sample.table[experiment.task.label], f"{sample.info.name} {name}"
                )
        for one in experiment.folds:
            check_disjoint(one.surveys.values())
        experiment._check_deployment()
        return experiment

    @functools.cached_property
    def folds(self) -> list["Experiment"]:
        """One experiment for each fold: itself where the recipe has no folds."""
        if self.recipe.folds == 1:
            return [self]
        return [self._fold(fold) for fold in range(self.recipe.folds)]

    def _fold(self, fold: int) -> "Experiment":
        surveys = {
            role: data.fold_splits(splits, self.recipe.folds, fold)
            for role, splits in self.surveys.items()
        }
        for splits in surveys.values():
            check_filled(splits, f", fold {fold + 1} of {self.recipe.folds}")
        source, target = surveys.get("source"), surveys["target"]
        return dataclasses.replace(self, source=source, target=target, fold=fold)

    def of_source(self, split: str) -> "data.Sample":
        """Returns a split of the source.

        Raises:
            InputError: the recipe has no source.
        """
        if self.source is None:
            raise InputError("Wanted: a source survey. Received: none. Give --source.")
        return self.source[split]

    @property
    def surveys(self) -> dict[str, Splits]:
        """The splits by role, source first where there is one."""
        roles = {"source": self.source, "target": self.target}
        return {role: splits for role, splits in roles.items() if splits}

    @property
    def input_bytes(self) -> int:
        """The size of all inputs in memory [byte]."""
        samples = [s for splits in self.surveys.values() for s in splits.values()]
        return sum(4 * len(s) * math.prod(s.info.input_shape) for s in samples)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of all ids and labels by split, in hexadecimal."""
        digest = hashlib.sha256()
        for role, splits in self.surveys.items():
            for name, sample in splits.items():
                digest.update(f"{role} {name} {sample.fingerprint()}".encode())
        return digest.hexdigest()

    @functools.cached_property
    def task(self) -> RedshiftTask:
        """The task, from the recipe's fields."""
        return RedshiftTask(self.recipe.label_range)

    def _check_deployment(self) -> None:
        where = self.recipe.deployment
        if where.sample not in self.tests():
            raise InputError(
                "Wanted: a source survey, whose test split is the deployment sample. "
                "Received: none. Set deployment.sample=target."
            )
        truth = self.tests()[where.sample].table["z_true"]
        missing = int(np.count_nonzero(~np.isfinite(truth)))
        if where.truth == "z_true" and missing:
            raise InputError(
                f"Wanted: true redshifts to score the {where.sample} against. "
                f"Received: {missing} of {len(truth)} without one. "
                "Set deployment.truth=label."
            )

    def training(
        self, kind: str, fraction: float = 1.0, seed: int = 0
    ) -> tuple["data.Sample", "data.Sample"]:
        """Returns the training and validation samples of a data slot.

        The target is cut to `fraction`, validation included, since validation labels
        are labels too; smaller fractions are subsets of larger ones of the same seed.
        Validation is the target's wherever the target is learned from. Where degraded
        copies are trained on, those of the validation set join it: the epoch is to be
        good for faint galaxies too.

        Args:
            kind: "source", "target", "source+target" or "target+degraded".
            fraction: float in (0, 1]. Share of the target's labels.
            seed: int. Which part is kept.
        """
        if kind == "source":
            return self.of_source("train"), self.of_source("validation")
        train, validation = share_of_labels(self.target, fraction, seed)
        if kind == "source+target":
            train = self.of_source("train").union(train)
        if kind == "target+degraded":
            # Splits of equal sizes have equal parts: only what is kept is copied.
            copies = share_of_labels(self.degraded, fraction, seed)
            train, validation = train.union(copies[0]), validation.union(copies[1])
        return train, validation

    @functools.cached_property
    def degraded(self) -> Splits:
        """Copies of the target's training and validation sets, as faint as the source.

        They are part of the data: all seeds and fractions share them, as the splits.

        Raises:
            InputError: the magnitudes of target or source are not known.
        """
        like = self.of_source("train")
        return {
            split: degrade(self.target[split], like, seed)
            for seed, split in enumerate(("train", "validation"))
        }

    def check(self, regimes: Iterable[Regime]) -> None:
        """Checks that the samples have what a comparison needs, before any job is run.

        Raises:
            InputError: a regime degrades the target and magnitudes are not known; no
                survey `deployment.like`, or one that no weights can lead to.
        """
        _ = self.deployment_weights
        if any("degraded" in regime.data for regime in regimes):
            _ = self.degraded

    @functools.cached_property
    def deployment_weights(self) -> Weights | None:
        """Weights of the deployment sample by which it resembles `deployment.like`.

        None where there is no such survey.

        Raises:
            InputError: the survey is unlike the sample or does not overlap with it, or
                the sample is too small to be weighted.
        """
        where = self.recipe.deployment
        if where.like is None:
            return None
        return weights_like(self.tests()[where.sample], where.like)

    def label_count(self, fraction: float | None, seed: int = 0) -> int:
        """Returns the target labels used at a fraction, validation included.

        With folds those of the first one; none for None.
        """
        if fraction is None:
            return 0
        if self.recipe.folds > 1 and self.fold is None:
            return self.folds[0].label_count(fraction, seed)
        return sum(map(len, self.training("target", fraction, seed)))

    def fresh(self, sample: "data.Sample", seed: int) -> keras.Model:
        """Returns a new model, its stretch and first guess fitted on `sample`."""
        from kphotoz import models

        # Quantiles and medians survive a sample, the extremes of catalog_4x200 do not.
        extremes = self.recipe.model.get("name") == "catalog_4x200"
        count = min(len(sample), _EXTREMES_OF if extremes else _FITTED_ON)
        chosen = np.linspace(0, len(sample) - 1, count).round().astype(int)
        info = sample.info
        return models.build_photoz(
            dict(self.recipe.model),
            sample.gather(chosen),
            sample.table[self.task.label][chosen],
            bands=info.bands,
            pixel_scale=info.pixel_scale,
            zero_point=info.zero_point,
            seed=seed,
        )

    def tests(self) -> Splits:
        """Returns the test samples by name, source first; with folds all, in order."""
        if self.recipe.folds > 1 and self.fold is None:
            parts = [fold.tests() for fold in self.folds]
            return {
                name: functools.reduce(
                    data.Sample.union, [part[name] for part in parts]
                )
                for name in parts[0]
            }
        return {role: splits["test"] for role, splits in self.surveys.items()}

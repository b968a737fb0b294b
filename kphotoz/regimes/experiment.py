"""What all regimes of one recipe share: surveys, task, splits and initialisation."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterable

import keras
import numpy as np

from kphotoz import data, features
from kphotoz.errors import InputError
from kphotoz.recipes import Duplicates, Recipe
from kphotoz.regimes.deployment import Weights, neighbour_weights
from kphotoz.regimes.dimming import degrade
from kphotoz.regimes.forest import Photometry
from kphotoz.regimes.frozen import FrozenFeatures
from kphotoz.regimes.regime import Regime
from kphotoz.tasks import RedshiftTask

__all__ = ["Experiment"]

# Images from which stretches and normalisations are fitted (our choice: the fits are
# quantiles, good to a percent from this many).
_FITTED_ON = 2000
_EXTREMES_OF = 1_000_000
# Labels kept at any fraction.
_FEWEST = {"train": 2, "validation": 20}


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
    source: dict[str, "data.Sample"] | None
    target: dict[str, "data.Sample"]
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
            source, left_out = _without_duplicates(source, target, recipe.duplicates)
            notes.append(left_out)
        experiment = cls(recipe, source, target, tuple(notes))
        for splits in filter(None, (source, target)):
            _check_filled(splits)
            for name, sample in splits.items():
                experiment.task.check_labels(
                    sample.table[experiment.task.label], f"{sample.info.name} {name}"
                )
        for one in experiment.folds:
            one._check_disjoint()
        experiment._check_deployment()
        return experiment

    @functools.cached_property
    def folds(self) -> list["Experiment"]:
        """One experiment for each fold: itself where the recipe has no folds."""
        if self.recipe.folds == 1:
            return [self]
        return [self._fold(fold) for fold in range(self.recipe.folds)]

    def _fold(self, fold: int) -> "Experiment":
        count = self.recipe.folds
        target = data.fold_splits(self.target, count, fold)
        source = self.source and data.fold_splits(self.source, count, fold)
        for splits in filter(None, (source, target)):
            _check_filled(splits, f", fold {fold + 1} of {count}")
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
    def input_bytes(self) -> int:
        """The size of all inputs in memory [byte]."""
        samples = [
            s for x in filter(None, (self.source, self.target)) for s in x.values()
        ]
        return sum(4 * len(s) * math.prod(s.info.input_shape) for s in samples)

    def fingerprint(self) -> str:
        """Returns the SHA-256 of all ids and labels by split, in hexadecimal."""
        digest = hashlib.sha256()
        for role, splits in (("source", self.source), ("target", self.target)):
            for name, sample in (splits or {}).items():
                digest.update(f"{role} {name} {sample.fingerprint()}".encode())
        return digest.hexdigest()

    @functools.cached_property
    def task(self) -> RedshiftTask:
        """The task, from the recipe's fields."""
        return RedshiftTask(self.recipe.label_range)

    def _check_disjoint(self) -> None:
        surveys = [splits for splits in (self.source, self.target) if splits]
        for trained in surveys:
            for tested in surveys:
                for split in ("train", "validation"):
                    data.check_disjoint(trained[split], tested["test"])

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
        train, validation = self._parts(self.target, fraction, seed)
        if kind == "source+target":
            train = self.of_source("train").union(train)
        if kind == "target+degraded":
            # Splits of equal sizes have equal parts: only what is kept is copied.
            copies = self._parts(self.degraded, fraction, seed)
            train, validation = train.union(copies[0]), validation.union(copies[1])
        return train, validation

    @functools.cached_property
    def degraded(self) -> dict[str, "data.Sample"]:
        """Copies of the target's training and validation sets, as faint as the source.

        They are part of the data: all seeds and fractions share them, as the splits.

        Raises:
            InputError: the magnitudes of target or source are not known.
        """
        like = self.of_source("train")
        return {
            split: degrade(self.target[split], like, seed)
            for seed, split in enumerate(_FEWEST)
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
        test, splits = self.tests()[where.sample], data.open_survey(where.like)
        self._check_like(test.info, splits["test"].info)
        photometry = Photometry(test)
        count = None
        if test.info.kind == "catalog":
            count = features.count_object_features(test.info.bands)
        deployed = [photometry(s)[:, :count] for s in splits.values() if len(s)]
        return neighbour_weights(photometry(test)[:, :count], np.concatenate(deployed))

    def _check_like(self, mine: "data.SurveyInfo", other: "data.SurveyInfo") -> None:
        if field := mine.unlike(other):
            raise InputError(
                f"Wanted: a deployment survey with the {field} of {mine.name}, "
                f"{getattr(mine, field)!r}. Received: {getattr(other, field)!r} in "
                f"{self.recipe.deployment.like}. Build it to match, or name another "
                "with --deploy."
            )

    @staticmethod
    def _parts(splits: dict, fraction: float, seed: int) -> tuple:
        return tuple(
            _part(splits[split], fraction, seed, fewest)
            for split, fewest in _FEWEST.items()
        )

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

    def tests(self) -> dict[str, "data.Sample"]:
        """Returns the test samples by name, source first; with folds all, in order."""
        if self.recipe.folds > 1 and self.fold is None:
            parts = [fold.tests() for fold in self.folds]
            return {
                name: functools.reduce(
                    data.Sample.union, [part[name] for part in parts]
                )
                for name in parts[0]
            }
        pairs = (("source", self.source), ("target", self.target))
        return {name: splits["test"] for name, splits in pairs if splits}


def _without_duplicates(
    source: dict[str, "data.Sample"], target: dict[str, "data.Sample"], rule: Duplicates
) -> tuple[dict[str, "data.Sample"], str]:
    """Returns the source without objects of the target, and how many those were."""
    kept, dropped = {}, 0
    known = functools.reduce(data.Sample.union, target.values()).table
    for splits in (source, target):
        sample = splits["train"]
        if rule.match == "position" and not np.isfinite(sample.table["ra"]).any():
            raise InputError(
                f"Wanted: positions in {sample.info.name}, to find duplicates by. "
                "Received: none. Map ra and dec when importing, set "
                "duplicates.match=id, or duplicates=null if there are none."
            )
    for split, sample in source.items():
        table = sample.table
        if rule.match == "id":
            matches = data.find_same_ids(known["id"], table["id"])
        else:
            matches = data.find_duplicates(
                known["ra"], known["dec"], table["ra"], table["dec"], rule.radius
            )
        kept[split] = sample.select(matches < 0)
        dropped += int(np.count_nonzero(matches >= 0))
    words = "the same id" if rule.match == "id" else f"{rule.radius:g} arcsec"
    return kept, (
        f"{dropped} objects of the source are in the target too (by {words}) and were "
        "left out of the source."
    )


def _check_filled(splits: dict[str, "data.Sample"], fold: str = "") -> None:
    fix = "fewer --folds" if fold else "other fractions (--splits when importing)"
    for name in ("train", "validation", "test"):
        if not len(splits[name]):
            raise InputError(
                f"Wanted: at least one object in the {name} split of "
                f"{splits[name].info.name}{fold}. Received: none. Use more objects, or "
                f"{fix}."
            )


def _part(
    sample: "data.Sample", fraction: float, seed: int, fewest: int
) -> "data.Sample":
    if fraction >= 1:
        return sample
    order = np.random.default_rng([seed, len(sample)]).permutation(len(sample))
    count = max(math.ceil(fraction * len(sample)), min(fewest, len(sample)))
    return sample.select(np.sort(order[:count]))

"""Base models that earlier comparisons trained, found by all that decides about them.

A folder below `KPHOTOZ_CACHE`, by default kphotoz' own in the user's cache folder;
"off" keeps nothing. What is damaged there counts as absent, what is old makes room.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import pydantic

from kphotoz import models
from kphotoz.errors import InputError
from kphotoz.files import hash_file
from kphotoz.regimes.experiment import Experiment
from kphotoz.regimes.regime import Regime
from kphotoz.regimes.run_regime import Result
from kphotoz.training import environment
from kphotoz.training.run_folder import RunFolder
from kphotoz.training.settings import Training

__all__ = ["folder", "kept"]

_LIMIT = 2e9  # bytes of models in the folder; our choice


class _Facts(pydantic.BaseModel):
    """What result.json holds."""

    sha256: str
    history: list[dict]
    score: float
    cost: dict


def folder() -> pathlib.Path | None:
    """Returns where bases are kept, or None where they are not."""
    chosen = os.environ.get("KPHOTOZ_CACHE")
    if chosen == "off":
        return None
    if chosen:
        return pathlib.Path(chosen) / "bases"
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(caches) / "kphotoz" / "bases"


def kept(
    train: Callable[..., Result],
    regime: Regime,
    experiment: Experiment,
    *,
    seed: int,
    settings: Training,
) -> Result:
    """Returns a base as an earlier comparison trained it, or trains and keeps it.

    Args:
        train: `regimes.run_regime.run`, called if there is none.
        regime: Regime. That of the base.
        experiment: Experiment. Samples and task.
        seed: int.
        settings: Training.

    Returns:
        Result. Its cost is that of the training, whenever it was; `cost["reused"]` says
        whether it was before.
    """
    train = functools.partial(train, regime, experiment, seed=seed, settings=settings)
    where = folder()
    if where is None:
        return train()
    entry = where / _key(regime, experiment, seed, settings)
    stored = _read(entry)
    if stored is None:
        stored = train()
        _keep(entry, stored)
    return stored


def _key(regime: Regime, experiment: Experiment, seed: int, settings: Training) -> str:
    """Returns the SHA-256 of all that decides about the bits of a base."""
    samples = experiment.training(regime.data)
    facts = {
        "model": experiment.recipe.model,
        "task": dataclasses.asdict(experiment.task),
        "settings": settings.model_dump(),
        "regime": regime.model_dump(),
        "samples": [sample.content_hash for sample in samples],
        "environment": environment.describe(seed),
        "code": _code_hash(),
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def _code_hash() -> str:
    """Returns the SHA-256 of this package's code, which a version need not name."""
    package = pathlib.Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _read(entry: pathlib.Path) -> Result | None:
    run = RunFolder(entry)
    try:
        facts = _Facts.model_validate(run.read_json("result"))
        if facts.sha256 != hash_file(entry / "model.keras"):
            return None
        model = models.load(entry / "model.keras")
        with contextlib.suppress(OSError):  # of another user, or read-only
            os.utime(entry)  # used now: the last to make room
        cost = facts.cost | {"reused": True}
        return Result(model, None, facts.history, facts.score, cost)
    except (InputError, OSError, pydantic.ValidationError):
        return None


def _keep(entry: pathlib.Path, result: Result) -> None:
    """Writes an entry, whole or not at all; all goes on without it."""
    result.cost["reused"] = False
    aside = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        aside = pathlib.Path(tempfile.mkdtemp(prefix=".partial-", dir=entry.parent))
        run = RunFolder(aside)
        run.save_model(result.model)
        names = ("history", "score", "cost")
        facts = {name: getattr(result, name) for name in names}
        run.save_json("result", facts | {"sha256": hash_file(aside / "model.keras")})
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        aside.rename(entry)
        _make_room(entry)
    except (InputError, OSError):  # read-only or full
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _make_room(newest: pathlib.Path) -> None:
    """Removes the entries used longest ago until the rest is small enough."""
    used = 0.0
    entries = sorted(newest.parent.iterdir(), key=lambda x: -x.stat().st_mtime)
    for entry in entries:
        used += sum(file.stat().st_size for file in entry.iterdir())
        if used > _LIMIT and entry != newest:
            shutil.rmtree(entry, ignore_errors=True)

"""A run folder: everything that one fit produced, each file whole or absent.

Equal runs write equal bytes, but for `cost.json`, which holds times and memory.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
import zipfile
from typing import Any

import keras
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from kphotoz.errors import InputError, message_of
from kphotoz.files import (
    atomic,
    exclusive,
    half_written,
    hash_file,
    sweep,
    write_json,
    write_text,
)
from kphotoz.training.settings import Training
from kphotoz.untrusted import parse_json

__all__ = ["RunFolder", "damaged_run", "write_parquet"]

_IDENTITY = "recipe.yaml"
_LOCK = ".lock"
_MARK = "# Written by kphotoz, sha256 "
# What decides about the last bits of a result, beside backend and precision.
_OF_THE_BITS: tuple[str, ...] = (
    "kphotoz",
    "versions",
    "jit",
    "onednn",
    "machine",
    "hardware",
)
_OF_THE_BITS += ("variables", "training_devices", "processes", "threads")
_OF_THE_BITS += ("jobs_at_once",)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold


class RunFolder:
    """A folder that one run writes into.

    Args:
        path: path of the folder.
    """

    def __init__(self, path: pathlib.Path | str) -> None:
        self.path = pathlib.Path(path)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which no other process may write into the folder.

        Raises:
            InputError: one does, or the folder cannot be written to.
        """
        return exclusive(self.path / _LOCK, self.path)

    def claim(self, identity: str, resume: bool) -> None:
        """Creates the folder for a run with this resolved recipe, or goes on in it.

        Raises:
            InputError: the folder holds something already and `resume` is not set, or
                it belongs to another recipe, or to a user who wrote it.
        """
        recipe = self.path / _IDENTITY
        # A run that was refused or killed before it began leaves at most its recipe.
        entries = list(self.path.iterdir()) if self.path.is_dir() else []
        held = {path.name for path in entries if not half_written(path, recipe)}
        occupied = self.path.is_file() or held - {_IDENTITY, _LOCK}
        if occupied and not resume:
            raise InputError(
                f"Wanted: a new or empty folder. Received: {self.path}, which exists. "
                "Add --resume to go on there, or choose another --out."
            )
        begun, ours = None, True
        if recipe.is_file():
            begun, ours = _unmarked(recipe.read_text("utf-8", errors="replace"))
        if occupied and begun not in (None, identity):
            difference = _difference(begun, identity)
            raise InputError(
                f"Wanted: the recipe that {self.path} was begun with. Received: "
                f"another, first difference {difference}. "
                "Repeat the first command, or choose another --out."
            )
        if occupied and begun is None:
            raise InputError(
                f"Wanted: a run folder to resume. Received: {self.path}, which "
                f"holds no {_IDENTITY}. Choose another --out."
            )
        if not ours and begun != identity:
            raise InputError(
                f"Wanted: a folder without a {_IDENTITY} of your own. Received: "
                f"{recipe}, which would be replaced. Choose another --out."
            )
        sweep(self.path)
        write_text(recipe, _marked(identity))

    def settle(self, environment: dict[str, Any]) -> str:
        """Writes `environment.json`, by which a resumed run must compute as well.

        Args:
            environment: dict. What `describe` returns, and `data`, the experiment's
                fingerprint.

        Returns:
            str. A line on what else differs from that of the beginning, which stays in
            the file, `resumed_with` beside it; empty where nothing does.

        Raises:
            InputError: the run was begun with another backend or precision, or on other
                data.
        """
        path = self.path / "environment.json"
        begun = self.read_json("environment") if path.exists() else environment
        for key in ("backend", "precision"):
            if begun.get(key) != environment[key]:
                raise InputError(
                    f"Wanted: the {key} that {self.path} was begun with, "
                    f"{begun.get(key)}. Received: {environment[key]}. "
                    f"Add --{key} {begun.get(key)}, or choose another --out."
                )
        if begun.get("data") not in (None, environment.get("data")):
            raise InputError(
                f"Wanted: the data that {self.path} was begun with. Received: surveys "
                "of other ids, labels or splits, as after an import under the same "
                "name. Choose another --out, or name the former import by its hash."
            )
        others = [key for key in _OF_THE_BITS if begun.get(key) != environment.get(key)]
        if others:
            begun |= {"resumed_with": {key: environment.get(key) for key in others}}
        self.save_json("environment", begun)
        if not others:
            return ""
        return (
            f"goes on with other {', '.join(others)} than it was begun with: "
            "results may differ by rounding"
        )

    @property
    def finished(self) -> bool:
        """Whether the run ended: metrics are written last."""
        return (self.path / "metrics.json").exists()

    def save_model(self, model: keras.Model) -> None:
        """Writes `model.keras` for prediction, in equal bytes for equal models.

        The copy that is saved is uncompiled: no loss or optimiser of ours is needed
        to load it.
        """
        plain = model.__class__.from_config(model.get_config())
        plain.set_weights(model.get_weights())
        with atomic(self.path / "model.keras") as aside:
            plain.save(aside)
            _strip_dates(aside)

    def save_adapter(self, model: keras.Model, base: pathlib.Path) -> None:
        """Writes `adapter.safetensors`, and `run.json` with the base and its hash.

        Args:
            model: keras.Model made by `adapters.apply`.
            base: path of the base's run folder.
        """
        from kphotoz import adapters

        adapters.save(model, self.path / "adapter.safetensors")
        # Relative, so that a folder of runs can be moved as a whole.
        path = os.path.relpath(base.resolve(), self.path.resolve())
        self.save_json("run", {"base": path, "sha256": hash_file(base / "model.keras")})

    def save_history(self, history: list[dict]) -> None:
        """Writes `history.csv`, a row per judged epoch, columns in one order."""
        text = io.StringIO()
        others = sorted({*(history[0] if history else ())} - {"epoch"})
        writer = csv.DictWriter(text, ["epoch", *others])
        writer.writeheader()
        writer.writerows(history)
        write_text(self.path / "history.csv", text.getvalue())

    def save_json(self, name: str, value: Any) -> None:
        """Writes `name`.json."""
        write_json(self.path / f"{name}.json", value)

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the content of `name`.json.

        Raises:
            InputError: it is missing or damaged.
        """
        path = self.path / f"{name}.json"
        try:
            values = parse_json(path.read_bytes())
            if not isinstance(values, dict):
                raise ValueError(f"it holds {type(values).__name__}")
        except (OSError, ValueError) as error:
            raise damaged_run(path, str(error)) from error
        return values

    def settings(self) -> Training:
        """Returns the settings that a finished run was trained with.

        Raises:
            InputError: they are missing or damaged.
        """
        try:
            return Training(**self.read_json("metrics")["settings"])
        except (KeyError, TypeError, pydantic.ValidationError) as error:
            reason = message_of(error) if isinstance(error, ValueError) else repr(error)
            raise damaged_run(self.path / "metrics.json", reason) from error

    def clear_checkpoints(self) -> None:
        """Removes the checkpoints of a run that has ended."""
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)


def damaged_run(path: pathlib.Path, reason: str) -> InputError:
    """Returns the error for a file of a run that cannot be read.

    Args:
        path: path of the file.
        reason: str. What is wrong.
    """
    return InputError(
        f"Wanted: a file that a finished run wrote. Received: {path}, which cannot be "
        f"read ({reason[:300]}). Remove {path.parent} and repeat with --resume."
    )


def write_parquet(path: pathlib.Path, columns: dict[str, Any]) -> None:
    """Writes columns to a parquet file, atomically."""
    with atomic(path) as aside:
        pq.write_table(pa.table(columns), aside)


def _strip_dates(path: pathlib.Path) -> None:
    """Rewrites a .keras file without the time at which it was saved."""
    undated = path.with_suffix(".undated")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(undated, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename == "metadata.json":
                    facts = json.loads(content)
                    facts.pop("date_saved", None)
                    content = json.dumps(facts).encode()
                new.writestr(zipfile.ZipInfo(item.filename, _EPOCH), content)
        undated.replace(path)
    finally:
        undated.unlink(missing_ok=True)


def _marked(recipe: str) -> str:
    """Returns a recipe below a line by which it is known again, edited or not."""
    return f"{_MARK}{hashlib.sha256(recipe.encode()).hexdigest()}\n{recipe}"


def _unmarked(text: str) -> tuple[str, bool]:
    """Returns a recipe without its mark, and whether it is as we wrote it."""
    if not text.startswith(_MARK):
        return text, False
    recipe = text.partition("\n")[2]
    return recipe, text == _marked(recipe)


def _difference(old: str, new: str) -> str:
    pairs = zip(old.splitlines() + [""], new.splitlines() + [""], strict=False)
    for before, after in pairs:
        if before != after:
            return f"{before.strip()!r} against {after.strip()!r}"
    return "in its length"

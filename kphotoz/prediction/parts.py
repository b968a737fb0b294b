"""Finished pieces of a prediction, kept aside until the whole is written."""

import contextlib
import pathlib
import shutil
from typing import Any

import numpy as np

from kphotoz.errors import InputError
from kphotoz.files import atomic, exists, write_json
from kphotoz.files_in.readers.npz import NPZSource
from kphotoz.untrusted import parse_json

__all__ = ["Parts"]


class Parts:
    """A folder beside the output with one small file per finished shard.

    Args:
        out: path of the final file.
        plan: what decides the predictions: inputs, model, batch size, engine.
        resume: bool. Keep the shards of a killed run of the same plan.

    Raises:
        InputError: the shards that are there belong to another plan.
    """

    def __init__(self, out: pathlib.Path, plan: dict[str, Any], resume: bool) -> None:
        self.folder = out.with_name(f".{out.name}.parts")
        noted = self.folder / "plan.json"
        if resume and noted.exists():
            try:
                before = parse_json(noted.read_bytes())
            except (OSError, ValueError):
                before = None
            known = before if isinstance(before, dict) else {}
            changed = [key for key in plan if known.get(key) != plan[key]]
            if changed:
                raise InputError(
                    f"Wanted: to go on with {out} as it was begun. Received: another "
                    f"{', '.join(changed)}. Leave out --resume to start anew."
                )
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if exists(self.folder):
            raise InputError(
                f"Wanted: to remove {self.folder}, left by an earlier command. "
                "Received: a folder that stays, or a link. Remove it yourself."
            )
        write_json(noted, plan)

    def read(self, name: str, rows: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns predictions and flags of a shard, or None if it is not finished.

        A damaged one counts as not finished.

        Args:
            name: str. Name of the shard.
            rows: int. Its length.
        """
        try:
            source = NPZSource(self.folder / f"{name}.npz")
            with contextlib.closing(source):
                z_pred, flags = (source.column(key) for key in ("z_pred", "flag"))
        except InputError:
            return None
        good = z_pred.dtype == np.float32 and flags.dtype.kind == "U"
        if not good or not z_pred.shape == flags.shape == (rows,):
            return None
        return z_pred, flags.astype(object)

    def write(self, name: str, z_pred: np.ndarray, flags: np.ndarray) -> None:
        """Keeps a finished shard.

        Args:
            name: str. Name of the shard.
            z_pred: (m,) float32.
            flags: (m,) str objects.
        """
        with atomic(self.folder / f"{name}.npz") as aside:
            np.savez(aside, z_pred=z_pred, flag=flags.astype(str))

    def remove(self) -> None:
        """Removes the shards, once the final file is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

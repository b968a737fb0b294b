"""The predictions of a comparison as arrays of (seed, object), sample by sample."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from kphotoz.comparison.plan import Job
from kphotoz.errors import InputError
from kphotoz.metrics.groups import number_groups
from kphotoz.tables.parquet_table import ParquetTable
from kphotoz.training.run_folder import damaged_run

__all__ = ["Scored", "read_jobs", "scored_samples"]


@dataclasses.dataclass(frozen=True)
class Scored:
    """One test sample with one truth to score against.

    Attributes:
        name: "source", "target", "both" or "deployment".
        truth: "label" or "z_true".
        mask: (n,) bool, rows of a job's table that belong to it.
        z: (count,) redshifts scored against.
        weights: (count,) or None.
        groups: (count,) int, equal for rows of one object, or None if all differ.
        by, stratum: the column that a part is of, and which; None for the whole.
    """

    name: str
    truth: str
    mask: np.ndarray
    z: np.ndarray
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    by: str | None = None
    stratum: str | None = None

    def part(self, mask: np.ndarray, by: str, stratum: str) -> "Scored":
        """Returns the objects for which a mask over them holds, (count,) bool."""
        inside = self.mask.copy()
        inside[inside] = mask
        weights = None if self.weights is None else self.weights[mask]
        groups = None if self.groups is None else self.groups[mask]
        return Scored(
            self.name, self.truth, inside, self.z[mask], weights, groups, by, stratum
        )


def read_jobs(out: pathlib.Path, jobs: Sequence[Job]) -> dict[str, np.ndarray]:
    """Returns the predictions of jobs as columns, one below the other.

    Args:
        out: path of the comparison.
        jobs: sequence of Job. The folds of one regime, fraction and seed.

    Raises:
        InputError: a file of theirs is missing or damaged.
    """
    tables = [_read(out / "jobs" / job.name / "predictions.parquet") for job in jobs]
    return {
        name: np.concatenate([table[name] for table in tables]) for name in tables[0]
    }


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        table = ParquetTable(path)
        columns = table.read(table.names)
    except InputError as error:
        raise damaged_run(path, str(error)) from error
    # Runs of earlier versions have none: each row is an object of its own.
    columns.setdefault("group", np.full(len(next(iter(columns.values()))), "", object))
    kinds = {name: column.dtype.kind for name, column in columns.items()}
    wanted = dict.fromkeys(("sample", "id", "group"), "O")
    wanted |= dict.fromkeys(("z_pred", "z_label", "z_true", "magnitude"), "f")
    for name, kind in wanted.items():
        if kinds.get(name) != kind:
            raise damaged_run(path, f"its column {name!r} is none of ours")
    return columns


def scored_samples(
    table: dict[str, np.ndarray],
    deployment: str,
    truth: str,
    weights: np.ndarray | None = None,
) -> list[Scored]:
    """Returns what is scored: deployment first, then each test sample and truth.

    Args:
        table: columns of any job; all jobs have the same rows.
        deployment: "source" or "target", whose test split stands for deployment.
        truth: "label" or "z_true", what the deployment sample is scored against.
        weights: (count,) weights of the deployment sample, or None.
    """
    names = list(dict.fromkeys(table["sample"]))
    table = {**table, "group": number_groups(table["group"])}
    samples = [
        _scored("deployment", table["sample"] == deployment, truth, table, weights)
    ]
    everything = np.ones(len(table["id"]), bool)
    masks = {name: table["sample"] == name for name in names}
    if len(names) > 1:
        masks["both"] = everything
    for name, mask in masks.items():
        samples.append(_scored(name, mask, "label", table))
        exact = table["z_true"][mask]
        if np.all(np.isfinite(exact)) and np.any(exact != table["z_label"][mask]):
            samples.append(_scored(name, mask, "z_true", table))
    return samples


def _scored(
    name: str,
    mask: np.ndarray,
    truth: str,
    table: dict[str, np.ndarray],
    weights: np.ndarray | None = None,
) -> Scored:
    z = table["z_label" if truth == "label" else "z_true"][mask]
    return Scored(name, truth, mask, z, weights, table["group"][mask])

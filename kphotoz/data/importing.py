"""A user's file as a survey: checked row by row, then built by the builder cutouts."""

import csv
import importlib
import pathlib
import sys

import numpy as np

from kphotoz.data.file_spec import FileSpec
from kphotoz.data.grouping import group_by_position
from kphotoz.data.readers import ImageFile, columns
from kphotoz.data.sample import Sample
from kphotoz.data.survey import (
    build_survey,
    data_dir,
    make_builder,
    open_builder,
)
from kphotoz.errors import InputError
from kphotoz.files import atomic

__all__ = ["CHUNK", "import_file", "open_file", "row_flags", "row_groups", "row_ids"]

CHUNK = 256  # rows read at once; our choice
_SAME_SOURCE = 1.0  # arcsec between repeats of one source; our choice


def import_file(spec: FileSpec) -> str:
    """Imports a file and returns its survey's name, "cutouts/NAME-HASH".

    The name carries the hash of the file's bytes and of the spec: a file
    that was imported before is not built again, a changed one is.

    Args:
        spec: FileSpec. The file and what it means.

    Raises:
        InputError: the file or the spec cannot be used, or rows are bad and
            `skip_bad` is not set.
    """
    return _build(spec)[1]


def open_file(spec: FileSpec) -> dict[str, Sample]:
    """Imports a file where that is needed and returns its splits.

    Args:
        spec: FileSpec. The file and what it means.

    Raises:
        InputError: as `import_file`.
    """
    return open_builder(*_build(spec))


def row_flags(file: ImageFile) -> np.ndarray:
    """Returns why each row cannot be used for training, "" where it can.

    Args:
        file: ImageFile. It is read whole, in chunks.
    """
    flags = columns.flag_redshifts(file.table["redshift"])
    for start, images, found in file.chunks(CHUNK):
        bad = found != ""
        flags[start : start + len(images)][bad] = found[bad]
    return flags


def row_ids(file: ImageFile) -> np.ndarray:
    """Returns the id of each row, made from the survey's name where the file has none.

    Args:
        file: ImageFile. Row numbers of two files must not look like the same objects.
    """
    ids = file.table["id"]
    if file.key("id") is not None:
        return ids
    return _prefixed(file, ids)


def row_groups(file: ImageFile) -> np.ndarray:
    """Returns the group of each row: mapped, by position, or each row its own.

    Args:
        file: ImageFile. With `ra` and `dec`, rows nearer to each other than a cutout's
            side are one group; with unknown pixels, repeats of one source are.
    """
    table = file.table
    if "group" in table:
        return np.where(table["group"] == "", row_ids(file), table["group"])
    if "ra" in table and "dec" in table:
        radius = file.size * file.pixel_scale if file.pixel_scale else _SAME_SOURCE
        groups = group_by_position(table["ra"], table["dec"], radius)
        return _prefixed(file, groups)
    return row_ids(file)


def _prefixed(file: ImageFile, names: np.ndarray) -> np.ndarray:
    longer = [f"{file.spec.title}-{name}" for name in names]
    return np.array([*longer, None], object)[:-1]


def _build(spec: FileSpec) -> tuple[object, str]:
    module = importlib.import_module("kphotoz_datasets.cutouts.cutouts_dataset_builder")
    spec.check_photometry()
    builder = make_builder(module.Builder, module.file_config(spec))
    if not pathlib.Path(builder.data_dir).exists():
        _check_rows(spec)
    build_survey(builder)
    # The newest import of a name is the one that its name opens.
    (pathlib.Path(builder.data_dir) / "dataset_info.json").touch()
    return builder, f"cutouts/{builder.builder_config.name}"


def _check_rows(spec: FileSpec) -> None:
    with ImageFile(spec) as file:
        file.require("redshift")
        ids = file.table["id"]
        names, counts = np.unique(ids.astype(str), return_counts=True)
        if len(names) != len(ids):
            raise InputError(
                f"Wanted: distinct ids in {spec.file}. Received: "
                f"{str(names[counts > 1][0])!r} more than once. Map another column "
                "with --key id=NAME."
            )
        if "group" not in file.table and "ra" not in file.table:
            print(
                f"{spec.file.name}: no group and no positions: each row counts as an "
                "object of its own, so repeats of one object may be split apart.",
                file=sys.stderr,
            )
        flags = row_flags(file)
    bad = np.flatnonzero(flags != "")
    if not len(bad):
        return
    first = f"row {bad[0]} (id {ids[bad[0]]}, {flags[bad[0]]})"
    if not spec.skip_bad or len(bad) == len(flags):
        raise InputError(
            f"Wanted: usable pixels and redshifts in {spec.file}. Received: {len(bad)} "
            f"of {len(flags)} rows without, first {first}. Mend them, or leave them "
            "out with --skip-bad."
        )
    listing = data_dir() / "cutouts" / f"{spec.title}.skipped.csv"
    with atomic(listing) as aside, open(aside, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["row", "id", "reason"])
        writer.writerows([row, ids[row], flags[row]] for row in bad)
    print(
        f"{spec.file.name}: {len(bad)} of {len(flags)} rows left out, first {first}; "
        f"listed in {listing}",
        file=sys.stderr,
    )

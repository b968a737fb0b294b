"""A user's file as a survey: checked row by row, then built by its kind's builder."""

import csv
import importlib
import pathlib
import sys

import numpy as np

from kphotoz.data.flags import flag_redshifts
from kphotoz.data.grouping import group_by_position, split_of_groups
from kphotoz.data.sample import Sample
from kphotoz.data.survey import (
    build_survey,
    data_dir,
    make_builder,
    open_builder,
)
from kphotoz.data.survey_info import SPLITS
from kphotoz.errors import InputError
from kphotoz.files import atomic
from kphotoz.files_in.catalog_spec import CatalogSpec
from kphotoz.files_in.readers import SurveyFile, open_survey_file
from kphotoz.files_in.readers.catalog_file import tell_implied
from kphotoz.files_in.survey_spec import SurveySpec

__all__ = ["import_file", "open_file", "row_flags", "row_groups", "row_ids"]

_SAME_SOURCE = 1.0  # arcsec between repeats of one source; our choice
_CROWD, _TOLD = 20, 0.1  # rows of a group, and its share of all, that are told


def import_file(spec: SurveySpec) -> str:
    """Imports a file and returns its survey's name, "cutouts/NAME-HASH".

    A table of magnitudes or fluxes becomes "catalog/NAME-HASH". The name carries the
    hash of the file's bytes and of the spec: a file that was imported before is not
    built again, a changed one is.

    Args:
        spec: SurveySpec. The file and what it means.

    Raises:
        InputError: the file or the spec cannot be used, or rows are bad and
            `skip_bad` is not set.
    """
    return _build(spec)[1]


def open_file(spec: SurveySpec) -> dict[str, Sample]:
    """Imports a file where that is needed and returns its splits.

    Args:
        spec: SurveySpec. The file and what it means.

    Raises:
        InputError: as `import_file`.
    """
    return open_builder(*_build(spec))


def row_flags(file: SurveyFile) -> np.ndarray:
    """Returns why each row cannot be used for training, "" where it can.

    Args:
        file: SurveyFile. It is read whole, in chunks.
    """
    return _read_rows(file)[0]


def _read_rows(file: SurveyFile) -> tuple[np.ndarray, np.ndarray]:
    """Returns the flags of rows, and how many rows of a catalogue see what.

    Returns:
        (n,) str objects; (2, band) rows not detected and not observed, zero for images.
    """
    flags = np.full(len(file), "", object)
    if file.spec.labelled:
        flags = flag_redshifts(file.table["redshift"])
    unseen = np.zeros((2, len(file.bands)), int)
    for start, inputs, of_chunk in file.chunks(file.chunk):
        bad = of_chunk != ""
        flags[start : start + len(inputs)][bad] = of_chunk[bad]
        if file.kind == "catalog":
            flux = inputs[..., 0]
            unseen += [(flux == 0).sum(axis=0), np.isnan(flux).sum(axis=0)]
    return flags, unseen


def row_ids(file: SurveyFile) -> np.ndarray:
    """Returns the id of each row, made from the survey's name where the file has none.

    Args:
        file: SurveyFile. Row numbers of two files must not look like the same objects.
    """
    ids = file.table["id"]
    if file.key("id") is not None:
        return ids
    longer = [f"{file.spec.title}-{name}" for name in ids]
    return np.array([*longer, None], object)[:-1]


def row_groups(file: SurveyFile) -> np.ndarray:
    """Returns the group of each row: mapped, by position, or each row its own.

    Args:
        file: SurveyFile. With `ra` and `dec`, rows nearer to each other than a cutout's
            side are one group; without pixels of known size, repeats of one source are.
    """
    table = file.table
    if "group" in table:
        groups = table["group"]
    elif "ra" in table and "dec" in table:
        side = file.input_shape[0] * (file.pixel_scale or 0) or _SAME_SOURCE
        groups = group_by_position(table["ra"], table["dec"], side)
    else:
        return row_ids(file)
    return np.where(groups == "", row_ids(file), groups)


def _build(spec: SurveySpec) -> tuple[object, str]:
    kind = "catalog" if isinstance(spec, CatalogSpec) else "cutouts"
    module = importlib.import_module(f"kphotoz_datasets.{kind}.{kind}_dataset_builder")
    spec.check_photometry()
    builder = make_builder(module.Builder, module.file_config(spec))
    if not pathlib.Path(builder.data_dir).exists():
        _check_rows(spec, kind)
    build_survey(builder)
    # The newest import of a name is the one that its name opens.
    (pathlib.Path(builder.data_dir) / "dataset_info.json").touch()
    return builder, f"{kind}/{builder.builder_config.name}"


def _check_rows(spec: SurveySpec, kind: str) -> None:
    with open_survey_file(spec) as file:
        _check_labels(file)
        ids = file.table["id"]
        names, counts = np.unique(ids.astype(str), return_counts=True)
        if len(names) != len(ids):
            raise InputError(
                f"Wanted: distinct ids in {spec.file}. Received: "
                f"{str(names[counts > 1][0])!r} more than once. Map another column "
                "with --key id=NAME."
            )
        _check_groups(file)
        flags, unseen = _read_rows(file)
        _tell_unseen(file, unseen)
        tell_implied(file)
    _check_flags(spec, kind, ids, flags)


def _check_groups(file: SurveyFile) -> None:
    name = file.spec.file.name
    if "group" in file.table:
        return
    if not {"ra", "dec"} <= set(file.table):
        print(
            f"{name}: no group and no positions: each row counts as an object of its "
            "own, so repeats of one object may be split apart.",
            file=sys.stderr,
        )
        return
    if file.kind == "image" and not file.pixel_scale:
        print(
            f"{name}: no pixel scale: cutouts of neighbours, which share pixels, may "
            "be split apart.",
            file=sys.stderr,
        )
    groups = row_groups(file)
    names, counts = np.unique(groups.astype(str), return_counts=True)
    largest = counts.max(initial=0)
    if largest < max(_CROWD, _TOLD * len(file)):
        return
    words = f"{largest} of {len(file)} rows in one, {names[counts.argmax()]}"
    splits = split_of_groups(groups, file.spec.splits, file.spec.seed)
    wanted = zip(SPLITS, file.spec.splits, strict=True)
    empty = [one for one, share in wanted if share and not (splits == one).any()]
    if file.spec.labelled and {*empty} & {"train", "validation", "test"}:
        raise InputError(
            "Wanted: groups by position small enough to be split; neighbours in a row "
            f"are one group. Received: {name} with {words}, and nothing for "
            f"{', '.join(empty)}. Map a group of your own with --key group=NAME, such "
            "as the id where overlaps may be split apart."
        )
    print(f"{name}: groups by position: {words}, all of one split.", file=sys.stderr)


def _check_labels(file: SurveyFile) -> None:
    if file.spec.labelled:
        file.require("redshift")
        return
    held = [name for name in file.spec.ROLES["redshift"] if name in file.names]
    if held:
        print(
            f"{file.spec.file.name}: its {held[0]!r} is left out, as label_kind is "
            "none.",
            file=sys.stderr,
        )


def _tell_unseen(file: SurveyFile, unseen: np.ndarray) -> None:
    words = []
    for what, counts in zip(("not detected", "not observed"), unseen, strict=True):
        present = zip(file.bands, counts.tolist(), strict=True)
        some = ", ".join(f"{band} {count}" for band, count in present if count)
        words += [f"{what} in {some}"] if some else []
    if words:
        name = file.spec.file.name
        print(f"{name}: of {len(file)} rows {'; '.join(words)}.", file=sys.stderr)


def _check_flags(
    spec: SurveySpec, kind: str, ids: np.ndarray, flags: np.ndarray
) -> None:
    bad = np.flatnonzero(flags != "")
    if not len(bad):
        return
    first = f"row {bad[0]} (id {ids[bad[0]]}, {flags[bad[0]]})"
    wanted = "pixels" if kind == "cutouts" else "photometry"
    wanted += " and redshifts" if spec.labelled else ""
    reasons = zip(*np.unique(flags[bad].astype(str), return_counts=True), strict=True)
    words = ", ".join(f"{count} {reason}" for reason, count in reasons)
    if not spec.skip_bad or len(bad) == len(flags):
        raise InputError(
            f"Wanted: usable {wanted} in {spec.file}. Received: "
            f"{len(bad)} of {len(flags)} rows without, first {first}; in all {words}. "
            "Mend them, or leave them out with --skip-bad."
        )
    listing = data_dir() / kind / f"{spec.title}.skipped.csv"
    with (
        atomic(listing) as aside,
        open(aside, "w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out)
        writer.writerow(["row", "id", "reason"])
        writer.writerows([row, ids[row], flags[row]] for row in bad)
    print(
        f"{spec.file.name}: {len(bad)} of {len(flags)} rows left out, first {first}; "
        f"in all {words}; listed in {listing}",
        file=sys.stderr,
    )

"""Which rows of a survey are used, in which split, and what the others lack."""

import dataclasses
from typing import Any

import numpy as np

from kphotoz.data.duplicates import find_duplicates, find_same_ids
from kphotoz.data.grouping import group_by_position, split_of_groups
from kphotoz.errors import InputError
from kphotoz_datasets._hdf5_layout import PER_BAND, PIXEL_SCALE, Catalogue

__all__ = ["Selection", "needed_keys", "select", "source_surveys"]

_SAME_SOURCE = 1.0  # arcsec between repeats of one source; our choice
_SPLIT_SEED = 0  # of the calibration share; our choice


@dataclasses.dataclass
class Selection:
    """What becomes of each row.

    Args:
        splits: (n,) str objects, "" of rows left out.
        groups: (n,) str objects.
        left_out: reason to number of rows, each counted at its first reason.
    """

    splits: np.ndarray
    groups: np.ndarray
    left_out: dict[str, int]


def needed_keys(options: dict[str, Any], spectroscopic: bool) -> dict[str, str]:
    """Returns names in the layout that the options need, and what to set without them.

    Args:
        options: dict. Options of the survey.
        spectroscopic: bool. Whether the file has spectroscopic redshifts.
    """
    needed = {}
    if options["magnitude_min"] is not None or options["magnitude_max"] is not None:
        needed["cmodel_mag"] = "magnitude_min=none and magnitude_max=none"
    places = {"neighbours=keep": options["neighbours"] == "drop"}
    places["match=id"] = options.get("match") == "position"
    if any(places.values()):
        needed |= dict.fromkeys(("ra", "dec"), _settings(places))
    if spectroscopic:
        names = {"duplicates=keep": options["duplicates"] == "first"}
        names["source_surveys="] = bool(options["source_surveys"])
        if any(names.values()):
            needed["specz_name"] = _settings(names)
        if options["secure"]:
            needed["specz_flag_homogeneous"] = "secure=false"
        cuts = ("error_max", "relative_error_max")
        errors = {f"{cut}=none": options[cut] is not None for cut in cuts}
        if any(errors.values()):
            needed["specz_redshift_err"] = _settings(errors)
    return needed


def _settings(uses: dict[str, bool]) -> str:
    return " and ".join(setting for setting, used in uses.items() if used)


def source_surveys(names: np.ndarray) -> np.ndarray:
    """Returns the spectroscopic surveys of each row, joined by "+" where several.

    A name is a list of "SURVEY-RELEASE-NUMBER" with commas between, as HSC merges what
    several surveys observed. The survey is what stands before the first hyphen,
    underscore, blank, colon or full stop, in capitals.

    Args:
        names: (n,) str objects, specz_name.

    Returns:
        (n,) str objects, such as "SDSS" or "GAMA+ZCOSMOS".
    """
    known: dict[str, str] = {}

    def survey(part: str) -> str:
        part = part.strip().upper()
        for mark in "_ :.":
            part = part.replace(mark, "-")
        return part.partition("-")[0]

    for name in set(names):
        surveys = {survey(part) for part in name.split(",")}
        known[name] = "+".join(sorted(surveys - {""}))
    return np.array([*(known[name] for name in names), None], object)[:-1]


def select(
    catalogue: Catalogue, options: dict[str, Any], image_size: int, label: str
) -> Selection:
    """Returns split and group of every row.

    Args:
        catalogue: Catalogue, with `redshift` and `source_survey`.
        options: dict. Options of the survey.
        image_size: int [pixel]. Side of a cutout.
        label: str. What the label is called, for errors.

    Raises:
        InputError: labels are no redshifts, or a split has no row left.
    """
    parts = np.array([file.split for file in catalogue.files], object)
    splits = parts[catalogue.part]
    left_out: dict[str, int] = {}

    def leave_out(reason: str, bad: np.ndarray) -> None:
        bad = bad & (splits != "")
        if bad.any():
            left_out[reason] = left_out.get(reason, 0) + int(bad.sum())
        splits[bad] = ""

    _check_labels(catalogue.columns["redshift"], options, label)
    for reason, bad in _cuts(catalogue, options).items():
        leave_out(reason, bad)
    if options["duplicates"] == "first":
        names = catalogue.columns["specz_name"]
        leave_out("repeated specz_name", _repeats(names, splits))
    if "match" in options:
        leave_out("in galaxies_ml too", _in_both(catalogue, options, splits))
    # Ids are distinct whatever the options say.
    leave_out("repeated object_id", _repeats(catalogue.columns["id"], splits))
    used = np.flatnonzero(splits != "")
    groups = np.full(len(splits), "", object)
    groups[used] = _groups(catalogue, used, options, image_size)
    if options["calibration"]:
        share = options["calibration"]
        rows = np.flatnonzero(splits == "validation")
        fractions = (0.0, 1 - share, share, 0.0)
        splits[rows] = split_of_groups(groups[rows], fractions, _SPLIT_SEED)
    reason = "neighbour" if options["neighbours"] == "drop" else "same source"
    free = ["train", "validation", "calibration"]
    for kept in ("test", "calibration"):
        held = {*groups[splits == kept]}
        near = np.array([group in held for group in groups], bool)
        free = [split for split in free if split != kept]
        leave_out(f"{reason} of a test row", near & np.isin(splits.astype(str), free))
    _check_splits(splits, left_out)
    return Selection(splits, groups, left_out)


def _check_labels(redshift: np.ndarray, options: dict[str, Any], label: str) -> None:
    low, high = options["z_min"], options["z_max"]
    known = redshift[np.isfinite(redshift)]
    out = _outside(known, low, high)
    # Half is our choice: a selection may well cut off a tail, but not most.
    if not len(known) or out.mean() > 0.5:
        span = f"{known.min():g} to {known.max():g}" if len(known) else "no numbers"
        raise InputError(
            f"Wanted: redshifts between {low} and {high} in {label}. Received: {span}, "
            f"{int(out.sum())} of {len(redshift)} outside. Is it another quantity? "
            "Else set z_min and z_max."
        )


def _outside(values: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    bad = ~np.isfinite(values)
    with np.errstate(invalid="ignore"):
        if low is not None:
            bad |= values <= low
        if high is not None:
            bad |= values >= high
    return bad


def _cuts(catalogue: Catalogue, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns where each of the published cuts fails, in order."""
    table = catalogue.columns
    redshift = table["redshift"]
    cuts = {"no label": ~np.isfinite(redshift)}
    if options["sentinels"] == "drop":
        cuts["sentinel"] = _lacking(catalogue)
    cuts["redshift out of range"] = _outside(
        redshift, options["z_min"], options["z_max"]
    )
    if "error_max" in options:
        cuts |= _spectroscopic_cuts(catalogue, options)
    low, high = options["magnitude_min"], options["magnitude_max"]
    if low is not None or high is not None:
        bad = _outside(table["cmodel_mag"], low, high)
        if options["sentinels"] == "keep":  # a missing one too
            bad &= np.isfinite(table["cmodel_mag"])
        cuts["magnitude out of range"] = bad.any(1)
    return cuts


def _lacking(catalogue: Catalogue) -> np.ndarray:
    """Returns where a per-band value is missing that the row's file has for others."""
    lacking = np.zeros(len(catalogue), bool)
    for part in range(len(catalogue.files)):
        rows = catalogue.part == part
        for name in PER_BAND:
            known = np.isfinite(catalogue.columns[name][rows])
            lacking[rows] |= ~known[:, known.any(0)].all(1)
    return lacking


def _spectroscopic_cuts(
    catalogue: Catalogue, options: dict[str, Any]
) -> dict[str, np.ndarray]:
    table, cuts = catalogue.columns, {}
    error = table["specz_redshift_err"].astype(np.float64)
    surveys = np.array([file.survey for file in catalogue.files], object)
    survey = surveys[catalogue.part]
    # A ready-made union does not say which rows are spectroscopic, but their errors do.
    spectroscopic = survey == "galaxies_ml"
    spectroscopic |= (survey == "combined_z") & np.isfinite(error)
    limits = np.full(len(error), np.inf)
    if options["error_max"] is not None:
        limits = np.minimum(limits, options["error_max"])
    if options["relative_error_max"] is not None:
        scale = 1 + table["redshift"]
        limits = np.fmin(limits, options["relative_error_max"] * scale)
    if np.isfinite(limits).any():
        good = (error > 0) & (error < limits)
        cuts["redshift error out of range"] = spectroscopic & ~good
    if options["secure"]:
        cuts["not secure"] = spectroscopic & (table["specz_flag_homogeneous"] != 1)
    if options["source_surveys"]:
        wanted, surveys = set(options["source_surveys"]), table["source_survey"]
        there = {name for names in set(surveys) for name in names.split("+") if name}
        if wanted - there:
            raise InputError(
                "Wanted: source_surveys that specz_name has: "
                f"{', '.join(sorted(there)) or 'none'}. Received: "
                f"{'+'.join(sorted(wanted))}."
            )
        chosen = {names for names in set(surveys) if wanted & set(names.split("+"))}
        good = np.array([names in chosen for names in surveys], bool)
        cuts["other source survey"] = spectroscopic & ~good
    return cuts


def _repeats(names: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Returns where a name stood before in a row that is used; empty ones never."""
    names_before, repeats = set(), np.zeros(len(names), bool)
    for row in np.flatnonzero((splits != "") & (names != "")):
        repeats[row] = names[row] in names_before
        names_before.add(names[row])
    return repeats


def _in_both(
    catalogue: Catalogue, options: dict[str, Any], splits: np.ndarray
) -> np.ndarray:
    """Returns the rows of transfer_z that are galaxies of galaxies_ml too."""
    table = catalogue.columns
    surveys = np.array([file.survey for file in catalogue.files], object)
    survey = surveys[catalogue.part]
    ours = np.flatnonzero((survey == "galaxies_ml") & (splits != ""))
    theirs = np.flatnonzero((survey == "transfer_z") & (splits != ""))
    if options["match"] == "id":
        matches = find_same_ids(table["id"][ours], table["id"][theirs])
    else:
        ra, dec = table["ra"], table["dec"]
        matches = find_duplicates(
            ra[ours], dec[ours], ra[theirs], dec[theirs], options["radius"]
        )
    both = np.zeros(len(splits), bool)
    both[theirs[matches >= 0]] = True
    return both


def _groups(
    catalogue: Catalogue, rows: np.ndarray, options: dict[str, Any], image_size: int
) -> np.ndarray:
    """Returns a group name per row: of its friends of friends, or its id."""
    table = catalogue.columns
    radius = _SAME_SOURCE
    if options["neighbours"] == "drop":
        radius = options["neighbour_radius"] or image_size * PIXEL_SCALE
    friends = group_by_position(table["ra"][rows], table["dec"][rows], radius)
    return np.where(friends == "", table["id"][rows], friends)


def _check_splits(splits: np.ndarray, left_out: dict[str, int]) -> None:
    empty = [s for s in ("train", "validation", "test") if not (splits == s).any()]
    if not empty:
        return
    words = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    hint = "Loosen the cuts"
    if any("neighbour" in reason for reason in left_out):
        hint += ", or set neighbours=keep or a smaller neighbour_radius"
    raise InputError(
        f"Wanted: rows for {' and '.join(empty)}. Received: none of {len(splits)} rows "
        f"after these were left out: {words or 'none'}. {hint}."
    )

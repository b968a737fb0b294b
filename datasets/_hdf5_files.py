"""Where the HDF5 files of GalaxiesML's layout are: in a folder, or to be downloaded."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from kphotoz.errors import InputError
from kphotoz_datasets._hdf5_layout import ReleaseFile

__all__ = ["MANUAL_DIR", "NAMES", "SOURCES", "survey_files"]

MANUAL_DIR = "KPHOTOZ_MANUAL_DIR"  # environment variable
SPLITS = ("train", "validation", "test")
# Survey -> names of its files by split; {0} is the number of pixels a side.
NAMES = {
    "galaxies_ml": (
        "5x{0}x{0}_training_with_morphology.hdf5",
        "5x{0}x{0}_validation_with_morphology.hdf5",
        "5x{0}x{0}_testing_with_morphology.hdf5",
    ),
    "transfer_z": (
        "transferz_5x{0}x{0}_TRAINING.h5",
        "transferz_5x{0}x{0}_VALIDATION.h5",
        "transferz_5x{0}x{0}_TESTING.h5",
    ),
    "combined_z": (
        "combo_5x{0}x{0}_TRAINING.h5",
        "combo_5x{0}x{0}_VALIDATION.h5",
        "combo_5x{0}x{0}_TESTING.h5",
    ),
}
SOURCES = {
    "galaxies_ml": "https://zenodo.org/records/11117528",
    "transfer_z": "https://zenodo.org/records/16989604, which may not be public",
    "combined_z": "the two sets above, joined",
}


def survey_files(
    survey: str,
    sizes: Sequence[int],
    options: dict[str, Any],
    builder: tfds.core.DatasetBuilder,
    dl_manager: tfds.download.DownloadManager,
) -> list[ReleaseFile]:
    """Returns the files of a survey for train, validation and test, in this order.

    A ready-made union is used where its files are; else the files of galaxies_ml and
    transfer_z are returned one after the other.

    Args:
        survey: str. A key of `NAMES`.
        sizes: of int. Pixels a side; files of the first size that is there are taken.
        options: dict. Options of the survey.
        builder: the builder that is being built.
        dl_manager: TFDS' download manager.

    Raises:
        InputError: files are missing and cannot be downloaded; says which and where.
    """
    files = _find(survey, sizes, _folders(survey, options, dl_manager))
    if files:
        return files
    if survey == "combined_z":
        # First what cannot be downloaded.
        parts = [
            survey_files(part, sizes, options, builder, dl_manager)
            for part in ("transfer_z", "galaxies_ml")
        ]
        return parts[1] + parts[0]
    if survey == "galaxies_ml":
        return _download(sizes[0], options, dl_manager)
    names = [name.format(sizes[0]) for name in NAMES[survey]]
    raise InputError(
        f"Wanted: {', '.join(names)} in {_default_folder(builder, survey)} (or another "
        f"folder, named by {MANUAL_DIR} or {_option('manual_dir', 'FOLDER')}). "
        f"Received: none of them. They come from {SOURCES[survey]}."
    )


def _option(name: str, value: str) -> str:
    """Returns how commands take an option of a survey."""
    return (
        f"--option {name}={value} (`fit` and `compare`: "
        f"--set source.options.{name}={value}, or target.options)"
    )


def _default_folder(builder: tfds.core.DatasetBuilder, survey: str) -> epath.Path:
    return epath.Path(builder.data_dir_root) / "downloads" / "manual" / survey


def _folders(
    survey: str, options: dict[str, Any], dl_manager: tfds.download.DownloadManager
) -> list[epath.Path]:
    bases = [options["manual_dir"]]
    if not options["manual_dir"]:
        bases = [os.environ.get(MANUAL_DIR)]
        try:
            bases.append(dl_manager.manual_dir)
        except AssertionError:  # TFDS: no such folder, or an empty one
            pass
    paths = [epath.Path(base).expanduser() for base in bases if base]
    # A folder that is misspelt must not start a download of 24 GB.
    gone = [path for path in paths if not path.is_dir()]
    if gone:
        raise InputError(
            f"Wanted: a folder in {MANUAL_DIR} or the option manual_dir. Received: "
            f"{gone[0]}, not there. Correct it, or leave it out."
        )
    return [folder for path in paths for folder in (path / survey, path)]


def _find(
    survey: str, sizes: Sequence[int], folders: list[epath.Path]
) -> list[ReleaseFile]:
    for size in sizes:
        names = [name.format(size) for name in NAMES[survey]]
        for folder in folders:
            missing = [name for name in names if not (folder / name).exists()]
            if len(missing) == len(names):
                continue
            if missing:
                raise InputError(
                    f"Wanted: {', '.join(names)} in {folder}. Received: all but "
                    f"{', '.join(missing)}. Get what is missing from "
                    f"{SOURCES[survey]}."
                )
            return [
                ReleaseFile(folder / name, survey, split)
                for name, split in zip(names, SPLITS, strict=True)
            ]
    return []


def _download(
    size: int, options: dict[str, Any], dl_manager: tfds.download.DownloadManager
) -> list[ReleaseFile]:
    survey = "galaxies_ml"
    base = (options.get("mirror") or f"{SOURCES[survey]}/files").rstrip("/")
    names = [name.format(size) for name in NAMES[survey]]
    print(f"Downloading {', '.join(names)} from {base}", file=sys.stderr)
    try:
        paths = dl_manager.download([f"{base}/{name}" for name in names])
    # requests, TFDS and its promises have no common exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"Wanted: {', '.join(names)} from {base}. Received: {reason}. Download "
            f"them by other means into a folder named by {MANUAL_DIR}, or name "
            f"another address with {_option('mirror', 'ADDRESS')}."
        ) from error
    return [
        ReleaseFile(epath.Path(path), survey, split)
        for path, split in zip(paths, SPLITS, strict=True)
    ]

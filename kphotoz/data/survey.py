"""Surveys by name: which there are, what they declare, and their samples."""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import pathlib
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from kphotoz.backend import devices
from kphotoz.data.sample import Sample
from kphotoz.data.split_store import SplitStore
from kphotoz.data.survey_info import INPUTS, SPLITS, SurveyInfo, damaged_survey
from kphotoz.errors import InputError, unknown
from kphotoz.untrusted import parse_json

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

__all__ = [
    "build_survey",
    "data_dir",
    "describe_survey",
    "find_builder",
    "list_surveys",
    "make_builder",
    "open_builder",
    "open_survey",
    "survey_info",
]


# The builders of users' own files, which have no configurations until one is imported.
IMPORTS = ("cutouts", "catalog")
# Keys of features.json in its present and its older layouts, and what a name may be.
_CLASS_NAMES = {"pythonClassName", "python_class_name"}
_OLDER_LAYOUTS = {"type", "jsonFeature", "json_feature"}
_OWN_FEATURES = "tensorflow_datasets.core.features."


def data_dir() -> pathlib.Path:
    """Returns TFDS's folder: TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    default = pathlib.Path.home() / "tensorflow_datasets"
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or default).expanduser()


def list_surveys() -> list[str]:
    """Returns the names of the surveys, "builder/config", imported ones included."""
    names: list[str] = []
    for builder in _builders():
        if builder in IMPORTS:
            continue
        configs = _module(builder).Builder.builder_configs
        names += sorted(f"{builder}/{config}" for config in configs) or [builder]
    for builder in IMPORTS:
        names += [f"{builder}/{name}" for name in sorted(_imported(builder))]
    return names


def open_survey(name: str, **options: Any) -> dict[str, Sample]:
    """Returns the splits of a survey; builds it first where it is missing.

    Args:
        name: str. "builder/config", as in "mock_hsc/photometric", or "cutouts/NAME" or
            "catalog/NAME" for an imported file: the newest of that name, or the one
            whose hash is given as in "cutouts/NAME-0123456789ab".
        options: passed to the builder's config, for example count=, seed=.

    Returns:
        dict of "train", "validation", "calibration" and "test" to Sample; a split that
        the survey lacks is a Sample without rows.

    Raises:
        InputError: no such survey, or an option that it does not have.
    """
    builder = find_builder(name, **options)
    build_survey(builder)
    return open_builder(builder, name)


def open_builder(builder: "tfds.core.DatasetBuilder", name: str) -> dict[str, Sample]:
    """Returns the splits of a built TFDS builder.

    Args:
        builder: a tfds builder that was built.
        name: str. Name to give the survey.
    """
    info = survey_info(builder, name)
    stores = {split: SplitStore(builder, split, info) for split in SPLITS}
    return {
        split: Sample([(store, np.arange(len(store)))])
        for split, store in stores.items()
    }


def describe_survey(name: str, **options: Any) -> SurveyInfo:
    """Returns the facts about a survey without building it; no counts before it is."""
    return survey_info(find_builder(name, **options), name)


def survey_info(builder: "tfds.core.DatasetBuilder", name: str) -> SurveyInfo:
    """Returns what a builder declares, as SurveyInfo.

    Raises:
        InputError: the built data set is damaged.
    """
    with damaged_survey(builder.data_dir):
        return _declared(builder, name)


def _declared(builder: "tfds.core.DatasetBuilder", name: str) -> SurveyInfo:
    metadata = dict(builder.info.metadata or {})
    features = builder.info.features
    kind = next(kind for kind, name in INPUTS.items() if name in features)
    scale = metadata.get("pixel_scale")
    return SurveyInfo(
        name=name,
        bands=tuple(metadata["bands"]),
        pixel_scale=None if scale is None else float(scale),
        unit=metadata["unit"],
        kind=kind,
        input_shape=tuple(features[INPUTS[kind]].shape),
        label_kind=metadata["label_kind"],
        counts={
            split: int(info.num_examples) for split, info in builder.info.splits.items()
        },
        metadata=metadata,
        built=builder.info.full_name,
    )


def find_builder(name: str, **options: Any) -> "tfds.core.DatasetBuilder":
    """Returns the TFDS builder of a survey, built or not.

    Raises:
        InputError: no such survey, or an option that it does not have.
    """
    tfds = _tfds()
    builder, _, config = str(name).partition("/")
    if builder in IMPORTS:
        folders = _imported(builder)
        if config not in folders:
            raise _unknown(name)
        if options:
            raise InputError(
                f"Wanted: no options for {name}, which is an imported file. "
                f"Received: {', '.join(options)}."
            )
        with damaged_survey(folders[config]):
            _check_features(folders[config] / "features.json")
            return tfds.builder_from_directory(folders[config])
    if builder not in _builders():
        raise _unknown(name)
    module = _module(builder)
    if config not in module.Builder.builder_configs and (config or options):
        raise _unknown(name)
    chosen = module.config(config, **options) if hasattr(module, "config") else config
    return make_builder(module.Builder, chosen or None)


def _check_features(path: pathlib.Path) -> None:
    """Checks that the features are TFDS' own: it imports whatever module they name."""
    waiting = [parse_json(path.read_bytes())]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            # The older layouts hide names in text, and our imports never wrote them.
            names = [value[key] for key in _OLDER_LAYOUTS & value.keys()]
            names += [value[key] for key in _CLASS_NAMES & value.keys()]
            odd = [name for name in names if not str(name).startswith(_OWN_FEATURES)]
            if odd or _OLDER_LAYOUTS & value.keys():
                raise ValueError(f"a feature of the type {names[0]!r:.80}")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def make_builder(builder: type, config: Any) -> "tfds.core.DatasetBuilder":
    """Returns a builder in our data folder, without TFDS's remark on custom configs.

    Args:
        builder: subclass of tfds.core.DatasetBuilder.
        config: its configuration, or the name of one, or None.
    """
    log = logging.getLogger("absl")
    log.addFilter(_is_no_remark)
    try:
        return builder(config=config, data_dir=data_dir())
    finally:
        log.removeFilter(_is_no_remark)


def _is_no_remark(record: logging.LogRecord) -> bool:
    return "custom data configuration" not in record.getMessage()


def build_survey(builder: "tfds.core.DatasetBuilder") -> None:
    """Builds a TFDS data set where it is missing.

    On a terminal TFDS's progress bars are shown, in a log one line at the start and one
    at the end. The builders lock, and remove what killed builds left.

    Raises:
        InputError: the disk cannot take the data set.
    """
    if _is_built(builder):
        return
    tfds = _tfds()
    terminal = sys.stderr.isatty()
    (tfds.enable_progress_bar if terminal else tfds.disable_progress_bar)()
    folder = pathlib.Path(builder.data_dir)
    print(f"Building {_label(builder)} in {folder}", file=sys.stderr)
    # TFDS prints its own lines to standard output, which belongs to our commands.
    sink = io.StringIO()
    try:
        with contextlib.redirect_stdout(sink):
            builder.download_and_prepare()
    except Exception as error:
        reason = _unwritten(error)
        if reason is None:
            raise
        raise InputError(
            f"Wanted: room for a data set in {folder}. Received: {reason}. "
            "Set TFDS_DATA_DIR to a folder with space."
        ) from error
    counts = {key: info.num_examples for key, info in builder.info.splits.items()}
    text = ", ".join(f"{count} {key}" for key, count in counts.items())
    print(f"Built {_label(builder)}: {text}", file=sys.stderr)


def _unwritten(error: BaseException | None) -> str | None:
    """Returns why files could not be written, if that is what stopped a build.

    TensorFlow writes them, and TFDS wraps its errors.
    """
    while error is not None and not isinstance(error, InputError):
        if isinstance(error, OSError):
            return error.strerror or str(error)
        if isinstance(error, devices.tensorflow().errors.OpError):
            return " ".join(error.message.split())[:300]
        error = error.__cause__
    return None


def _label(builder: "tfds.core.DatasetBuilder") -> str:
    config = builder.builder_config
    return f"{builder.name}/{config.name}" if config else builder.name


def _unknown(name: str) -> InputError:
    # Imports are told by name alone, not by name and hash too.
    hashes = {
        f"{b}/{path.parent.name}" for b in IMPORTS for path in _imported(b).values()
    }
    return unknown("survey", name, set(list_surveys()) - hashes)


def _is_built(builder: "tfds.core.DatasetBuilder") -> bool:
    return (pathlib.Path(builder.data_dir) / "dataset_info.json").exists()


def _tfds() -> Any:
    devices.tensorflow()
    import tensorflow_datasets

    return tensorflow_datasets


def _builders() -> list[str]:
    package = importlib.import_module("kphotoz_datasets")
    return [
        item.name
        for item in pkgutil.iter_modules(package.__path__)
        if item.ispkg
        and importlib.util.find_spec(
            f"kphotoz_datasets.{item.name}.{item.name}_dataset_builder"
        )
    ]


def _module(builder: str) -> Any:
    _tfds()
    return importlib.import_module(
        f"kphotoz_datasets.{builder}.{builder}_dataset_builder"
    )


def _imported(builder: str) -> dict[str, pathlib.Path]:
    """Returns the built folder of each import: the newest by name, each by its hash."""
    built = data_dir().glob(f"{builder}/*/*/dataset_info.json")
    newest = sorted(built, key=lambda path: path.stat().st_mtime_ns)
    exact = {path.parents[1].name: path.parent for path in newest}
    return exact | {name.rpartition("-")[0]: path for name, path in exact.items()}

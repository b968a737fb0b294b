"""The builder of a user's own file, whether it holds cutouts or a catalogue."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from kphotoz.data.grouping import split_of_groups
from kphotoz.data.survey_info import INPUTS, SPLITS
from kphotoz.errors import InputError
from kphotoz.files_in.importing import row_flags, row_groups, row_ids
from kphotoz.files_in.readers import SurveyFile, open_survey_file
from kphotoz.files_in.survey_spec import SurveySpec
from kphotoz_datasets import _building

__all__ = ["FileConfig", "UserFileBuilder", "file_config"]

_DOCS = {
    "redshift": "the label",
    "redshift_error": "NaN where unknown",
    "z_true": "true redshift of simulations; NaN where there is none",
    "magnitude": "mag; NaN where unknown",
}
_POSITIONS = ("ra", "dec")


@dataclasses.dataclass(eq=False)
class FileConfig(tfds.core.BuilderConfig):
    """One file.

    Args:
        spec: SurveySpec or None. The file and what it means.
    """

    spec: SurveySpec | None = None


def file_config(spec: SurveySpec) -> FileConfig:
    """Returns the configuration of a file, named after it and its content.

    Args:
        spec: SurveySpec. The file and what it means. A changed byte or a changed
            meaning gives another name, so that TFDS builds it anew.

    Raises:
        InputError: the file cannot be read.
    """
    return FileConfig(
        name=f"{spec.title}-{spec.digest()[:12]}",
        description=f"{spec.KIND}: {spec.file.name}",
        spec=spec,
    )


class UserFileBuilder(  # type: ignore[call-arg]  # the keyword is TFDS'
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """What the builders of users' files share; each has its KIND and its metadata."""

    KIND: str
    # Shape of an input before a file is known, and what its axes are.
    SHAPE: tuple[int | None, ...]
    AXES: tuple[str, ...]

    def _declared(self, file: SurveyFile) -> dict:
        """Returns the metadata that only this kind of file has."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns features, units and bands as the file and its spec declare them."""
        shape, metadata = self.SHAPE, {}
        if self.builder_config is not None:
            with open_survey_file(self.builder_config.spec) as file:
                shape = file.input_shape
                metadata = _metadata(file) | self._declared(file)
        name = INPUTS[self.KIND]
        features = {
            name: tfds.features.Tensor(
                shape=shape,
                dtype=np.float32,
                encoding="bytes",
                doc=f"{metadata.get('unit')}; {', '.join(self.AXES)}",
            ),
            "id": tfds.features.Text(),
            "group": tfds.features.Text(doc="equal for the same object"),
        }
        for key, doc in _DOCS.items():
            features[key] = tfds.features.Scalar(dtype=np.float32, doc=doc)
        for key in _POSITIONS:
            # As bytes: TFDS' plain encoding would round to float32.
            features[key] = tfds.features.Tensor(
                shape=(),
                dtype=np.float64,
                encoding="bytes",
                doc="degree; NaN where unknown",
            )
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=(name, "redshift"),
            metadata=tfds.core.MetadataDict(metadata),
            # Examples stay in the file's order, which a user can follow.
            disable_shuffling=True,
        )

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Builds the survey, once however many processes ask at a time.

        Args:
            **kwargs: as `tfds.core.DatasetBuilder.download_and_prepare`.
        """
        with _building.build_lock(self.data_path.parent):
            built_meanwhile = self.data_path.exists()
            super().download_and_prepare(**kwargs)
        if built_meanwhile:
            self.info.read_from_directory(self.data_path)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Returns the encoded examples of each split that has rows."""
        return {
            split: self._encoded(split)
            for split in SPLITS
            if (self._row_splits == split).any()
        }

    @functools.cached_property
    def _row_splits(self) -> np.ndarray:
        """Returns the split of every row of the file, "" where it cannot be used."""
        if self.builder_config is None:
            raise InputError(
                "Wanted: a file of the user's. Received: none. Use `kphotoz data "
                "import FILE`, which builds it."
            )
        spec = self.builder_config.spec
        with open_survey_file(spec) as file:
            splits = split_of_groups(row_groups(file), spec.splits, spec.seed)
            splits[row_flags(file) != ""] = ""
        return splits

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list:
        """Writes the splits without TFDS' buffers: see `_building.write_split`."""
        infos, shards = [], download_config.get_shard_config()
        for split, examples in self._split_generators(dl_manager).items():
            count = int((self._row_splits == split).sum())
            if download_config.max_examples_per_split is not None:
                count = min(count, download_config.max_examples_per_split)
            examples = itertools.islice(examples, count)
            infos.append(_building.write_split(self, split, examples, count, shards))
        return infos

    def _encoded(self, split: str) -> Iterator[tuple[int, bytes]]:
        """Yields (row, serialized example) for the rows of a split in file order."""
        features = self.info.features
        serializer = example_serializer.ExampleSerializer(
            features.get_serialized_info()
        )
        for row, example in self._generate_examples(split, self._row_splits):
            encoded = features.encode_example(example)
            yield row, serializer.serialize_example(encoded)

    def _generate_examples(self, split: str, splits: np.ndarray) -> Iterator[tuple]:
        """Yields (row, example) for the rows of a split in file order."""
        with open_survey_file(self.builder_config.spec) as file:
            ids, groups = row_ids(file), row_groups(file)
            nothing = np.full(len(file), np.nan)
            table = {key: file.table.get(key, nothing) for key in (*_DOCS, *_POSITIONS)}
            for start, inputs, _ in file.chunks(file.chunk):
                rows = np.arange(start, start + len(inputs))
                magnitudes = file.magnitudes(rows, inputs)
                for row in rows[splits[rows] == split].tolist():
                    example = {key: np.float32(table[key][row]) for key in _DOCS}
                    example |= {key: table[key][row] for key in _POSITIONS}
                    example["magnitude"] = np.float32(magnitudes[row - start])
                    example[INPUTS[self.KIND]] = inputs[row - start]
                    yield row, example | {"id": ids[row], "group": groups[row]}


def _metadata(file: SurveyFile) -> dict:
    spec, count = file.spec, len(file.bands)
    per_band = ("filters", "ab_offset", "extinction_coefficient")
    return {
        "bands": list(file.bands),
        "pixel_scale": file.pixel_scale,
        "unit": spec.declared("unit") or "unknown",
        "magnitude_system": spec.declared("magnitude_system") or "unknown",
        "extinction": spec.extinction or "unknown",
        "label_kind": spec.label_kind,
        "licence": spec.licence,
        "acknowledgement": spec.acknowledgement,
        "file": str(spec.file),
        **{name: spec.declared(name, count) for name in per_band},
    }

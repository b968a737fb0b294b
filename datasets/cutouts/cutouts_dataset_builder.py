"""A user's own cutouts: an HDF5 or NPZ file, or a folder of FITS files with a table."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.data.file_spec import FileSpec
from kphotoz.data.grouping import split_of_groups
from kphotoz.data.importing import CHUNK, row_flags, row_groups, row_ids
from kphotoz.data.readers import ImageFile
from kphotoz.data.survey_info import SPLITS
from kphotoz.errors import InputError
from kphotoz_datasets import _building

__all__ = ["Builder", "CutoutsConfig", "file_config"]

_NUMBERS = ("redshift", "redshift_error", "z_true", "magnitude")


@dataclasses.dataclass(eq=False)
class CutoutsConfig(tfds.core.BuilderConfig):
    """One file.

    Args:
        spec: FileSpec or None. The file and what it means.
    """

    spec: FileSpec | None = None


def file_config(spec: FileSpec) -> CutoutsConfig:
    """Returns the configuration of a file, named after it and its content.

    Args:
        spec: FileSpec. The file and what it means. A changed byte or a changed
            meaning gives another name, so that TFDS builds it anew.

    Raises:
        InputError: the file cannot be read.
    """
    return CutoutsConfig(
        name=f"{spec.title}-{spec.digest()[:12]}",
        description=f"Cutouts of {spec.file.name}",
        spec=spec,
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Cutouts of a user's file; `kphotoz data import` builds it."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns features, units and bands as the file and its spec declare them."""
        chosen = self.builder_config
        shape, metadata = (None, None, None), {}
        if chosen is not None:
            with ImageFile(chosen.spec) as file:
                shape = (file.size, file.size, len(file.bands))
                metadata = _metadata(file)
        number = tfds.features.Scalar(dtype=np.float32)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(
                        shape=shape,
                        dtype=np.float32,
                        encoding="bytes",
                        doc=f"{metadata.get('unit')}; height, width, band",
                    ),
                    "id": tfds.features.Text(),
                    "group": tfds.features.Text(doc="equal for the same object"),
                }
                | dict.fromkeys(_NUMBERS, number)
            ),
            supervised_keys=("image", "redshift"),
            metadata=tfds.core.MetadataDict(metadata),
            # Examples stay in the file's order, which a user can follow.
            disable_shuffling=True,
        )

    def download_and_prepare(self, **kwargs) -> None:
        """Builds the survey, once however many processes ask at a time.

        Args:
            **kwargs: as `tfds.core.DatasetBuilder.download_and_prepare`.
        """
        with _building.build_lock(self.data_path.parent):
            built_meanwhile = self.data_path.exists()
            super().download_and_prepare(**kwargs)
        if built_meanwhile:
            self.info.read_from_directory(self.data_path)

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        """Returns a generator for each split that has rows; nothing is downloaded."""
        if self.builder_config is None:
            raise InputError(
                "Wanted: a file of cutouts. Received: none. Use `kphotoz data import "
                "FILE`, which builds it."
            )
        spec = self.builder_config.spec
        with ImageFile(spec) as file:
            file.require("redshift")
            splits = split_of_groups(row_groups(file), spec.splits, spec.seed)
            splits[row_flags(file) != ""] = ""
        return {
            split: self._generate_examples(split, splits)
            for split in SPLITS
            if (splits == split).any()
        }

    def _generate_examples(self, split: str, splits: np.ndarray) -> Iterator[tuple]:
        """Yields (row, example) for the rows of a split in file order."""
        with ImageFile(self.builder_config.spec) as file:
            table, ids, groups = file.table, row_ids(file), row_groups(file)
            nothing = np.full(len(file), np.nan)
            for start, images, _ in file.chunks(CHUNK):
                rows = np.arange(start, start + len(images))
                for row in rows[splits[rows] == split].tolist():
                    example = {
                        name: np.float32(table.get(name, nothing)[row])
                        for name in _NUMBERS
                    }
                    yield (
                        row,
                        example
                        | {
                            "image": images[row - start],
                            "id": ids[row],
                            "group": groups[row],
                        },
                    )


def _metadata(file: ImageFile) -> dict:
    spec, count = file.spec, len(file.bands)
    per_band = ("zero_point", "filters", "psf_fwhm")
    optional = ("ab_offset", "extinction_coefficient")
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
        **{name: spec.declared(name, count) for name in per_band + optional},
    }

"""What the builders of galaxies_ml, transfer_z and combined_z have in common."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.features.photometry import from_magnitudes
from kphotoz_datasets import _building
from kphotoz_datasets._encoding import Column, RowEncoder
from kphotoz_datasets._hdf5_files import survey_files
from kphotoz_datasets._hdf5_layout import (
    BANDS,
    LABELS,
    PIXEL_SCALE,
    Catalogue,
    ReleaseFile,
    catalogue_columns,
    image_column,
    read_catalogue,
    read_images,
)
from kphotoz_datasets._selection import (
    Selection,
    needed_keys,
    select,
    source_surveys,
)

__all__ = ["HDF5Builder"]

SPLITS = ("train", "validation", "calibration", "test")
_PHOTOMETRY = Column(
    "photometry",
    "CModel flux density and its standard error, µJy (AB zero point 23.9); g r i z y",
    "raw",
    (len(BANDS), 2),
)
_CHUNK = 4096  # rows of photometry encoded at once; our choice


class HDF5Builder(  # type: ignore[call-arg]  # the keyword is TFDS'
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """A survey in GalaxiesML's HDF5 layout.

    A subclass sets `SURVEY` (a key of `LABELS`), `LABEL_KIND`, `TERMS` (entries of the
    metadata), the configurations and the instructions that TFDS wants.
    """

    SURVEY: ClassVar[str]
    LABEL_KIND: ClassVar[str]
    TERMS: ClassVar[dict[str, Any]] = {}

    def _columns(self) -> list[Column]:
        chosen = self.builder_config
        input_ = image_column(chosen.image_size) if chosen.images else _PHOTOMETRY
        return [input_, *catalogue_columns(self.SURVEY)]

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns features, units and bands of the survey."""
        images = self.builder_config.images
        return self.dataset_info_from_configs(
            features=RowEncoder(self._columns()).features(),
            supervised_keys=("image" if images else "photometry", "redshift"),
            metadata=tfds.core.MetadataDict(self._metadata()),
            # Examples stay in the files' order, which a user can follow.
            disable_shuffling=True,
        )

    def _metadata(self) -> dict[str, Any]:
        chosen = self.builder_config
        image = {
            "pixel_scale": PIXEL_SCALE,
            "unit": "raw flux units as released, not normalised",
            "zero_point": [27.0] * len(BANDS),
            "zero_point_source": "HSC coadds, recollected; the release does not say",
        }
        catalog = {
            "pixel_scale": None,
            "unit": "uJy",
            "zero_point": [23.9] * len(BANDS),
        }
        return {
            "bands": list(BANDS),
            **(image if chosen.images else catalog),
            "magnitude_system": "AB",
            "magnitude_band": "i",
            "extinction": "none",
            "label_kind": self.LABEL_KIND,
            "options": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in chosen.options.items()
            },
            **self.TERMS,
        }

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Builds the survey, once however many processes ask at a time.

        Args:
            **kwargs: as `tfds.core.DatasetBuilder.download_and_prepare`.
        """
        if self.data_path.exists():
            super().download_and_prepare(**kwargs)
        else:
            with _building.build_lock(self.data_path.parent):
                super().download_and_prepare(**kwargs)
        if not self.info.splits:  # another process built it since this one looked
            self.info.read_from_directory(self.data_path)

    def _split_generators(self, dl_manager: Any) -> dict[str, "_Examples"]:
        """Returns the encoded examples of each split, and says what was left out."""
        chosen = self.builder_config
        # Magnitudes are in the files of either cutout size.
        sizes = [chosen.image_size] if chosen.images else [64, 127]
        files = survey_files(self.SURVEY, sizes, chosen.options, self, dl_manager)
        catalogue = self._read(files)
        label = f"{LABELS[files[0].survey]!r} of {files[0].path.parent}"
        chosen_rows = select(catalogue, chosen.options, chosen.image_size, label)
        self._tell(catalogue, chosen_rows)
        return {
            split: _Examples(self, catalogue, chosen_rows, rows)
            for split in SPLITS
            if len(rows := np.flatnonzero(chosen_rows.splits == split))
        }

    def _read(self, files: Sequence[ReleaseFile]) -> Catalogue:
        chosen = self.builder_config
        size = chosen.image_size if chosen.images else None
        parts = []
        for survey in dict.fromkeys(file.survey for file in files):
            needed = needed_keys(chosen.options, survey == "galaxies_ml")
            if not chosen.images:
                needed |= {"cmodel_mag": "", "cmodel_magsigma": ""}
            own = [file for file in files if file.survey == survey]
            parts.append(read_catalogue(own, needed, size))
        catalogue = Catalogue.joined(parts)
        table = catalogue.columns
        surveys = np.array([file.survey for file in files], object)[catalogue.part]
        table["survey"] = np.where(surveys == "combined_z", "", surveys)
        table["source_survey"] = source_surveys(table["specz_name"])
        return catalogue

    def _tell(self, catalogue: Catalogue, chosen: Selection) -> None:
        """Records what was left out in the metadata, and says it in one line."""
        kept = int((chosen.splits != "").sum())
        self.info.metadata.update(
            rows_read=len(catalogue),
            left_out=chosen.left_out,
            absent_keys=catalogue.absent,
            unread_keys=catalogue.unread,
            files={file.path.name: file.path.stat().length for file in catalogue.files},
        )
        words = ", ".join(
            f"{count} {reason}" for reason, count in chosen.left_out.items()
        )
        line = (
            f"{self.name}/{self.builder_config.name}: {kept} of {len(catalogue)} rows"
        )
        line += f"; left out: {words or 'none'}"
        if catalogue.absent:
            line += f"; not in the files: {', '.join(catalogue.absent)}"
        print(line, file=sys.stderr)

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list:
        """Writes the splits without TFDS' buffers: see `_building.write_split`."""
        infos = []
        for split, examples in self._split_generators(dl_manager).items():
            count = len(examples)
            if download_config.max_examples_per_split is not None:
                count = min(count, download_config.max_examples_per_split)
            infos.append(
                _building.write_split(
                    self,
                    split,
                    examples.first(count),
                    count,
                    download_config.get_shard_config(),
                )
            )
        return infos

    def _generate_examples(
        self, catalogue: Catalogue, chosen: Selection, rows: np.ndarray
    ) -> Iterator[tuple[int, bytes]]:
        """Yields (number, encoded example) of the given rows of the catalogue."""
        encoder = RowEncoder(self._columns())
        number = 0
        for part, values in self._inputs(catalogue, rows):
            values |= _values(encoder, catalogue, chosen, part)
            for record in encoder.encode(values):
                yield number, record
                number += 1

    def _inputs(
        self, catalogue: Catalogue, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yields rows of the catalogue in chunks, and their images or photometry."""
        if self.builder_config.images:
            for number in np.unique(catalogue.part[rows]):
                own = rows[catalogue.part[rows] == number]
                file = catalogue.files[number]
                for places, images in read_images(file, catalogue.row[own]):
                    yield own[places], {"image": images}
            return
        table = catalogue.columns
        for start in range(0, len(rows), _CHUNK):
            own = rows[start : start + _CHUNK]
            magnitudes = table["cmodel_mag"][own], table["cmodel_magsigma"][own]
            yield own, {"photometry": from_magnitudes(*magnitudes)}


class _Examples:
    """The examples of one split: their number is known before they are made."""

    def __init__(
        self,
        builder: HDF5Builder,
        catalogue: Catalogue,
        chosen: Selection,
        rows: np.ndarray,
    ) -> None:
        self._builder, self._rows = builder, rows
        self._catalogue, self._chosen = catalogue, chosen

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self.first(len(self))

    def first(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Returns the first `count` of them."""
        return self._builder._generate_examples(
            self._catalogue, self._chosen, self._rows[:count]
        )


def _values(
    encoder: RowEncoder, catalogue: Catalogue, chosen: Selection, rows: np.ndarray
) -> dict[str, Any]:
    """Returns the values of all columns but the input, for some rows."""
    table = catalogue.columns
    values = {
        "group": chosen.groups[rows],
        "z_true": np.full(len(rows), np.nan, np.float32),
        "redshift_error": table["specz_redshift_err"][rows],
        "magnitude": table["cmodel_mag"][rows, BANDS.index("i")],
    }
    for column in encoder.columns:
        name = column.name
        if name not in values and name in table:
            values[name] = table[name][rows]
        if column.kind == "text":
            values[name] = [text.encode() for text in values[name]]
    return values

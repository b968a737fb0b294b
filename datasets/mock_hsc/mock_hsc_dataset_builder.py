"""The embedded mock survey: simulated galaxies as Hyper Suprime-Cam sees them."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kphotoz_datasets import _building
from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.mock_hsc.configs import (
    BANDS,
    CONFIGS,
    DEPTHS,
    PIXEL_SCALE,
    SEEING,
    MockHSCConfig,
    config,
    named,
)
from kphotoz_datasets.simulate import photometry, workers

__all__ = ["Builder", "MockHSCConfig", "config"]

# Position of a galaxy modulo 10 -> split, so that splits do not depend on the count.
SPLITS = {
    "train": (0, 1, 2, 3, 4, 5),
    "validation": (6,),
    "calibration": (7,),
    "test": (8, 9),
}


class Builder(tfds.core.GeneratorBasedBuilder):
    """Simulated galaxies in HSC's five bands; see README.md for what is not real."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = list(CONFIGS.values())
    DEFAULT_BUILDER_CONFIG_NAME = "photometric"

    _pool: workers.StampPool | None = None

    @classmethod
    def get_builder_config(
        cls, name: str, version: str | None = None
    ) -> MockHSCConfig | None:
        """Returns the configuration of this name, sized ones included, or None.

        Args:
            name: str, for example "photometric-n12000-s3".
            version: str or None. As TFDS passes it.
        """
        return super().get_builder_config(name, version) or named(name)

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns features, units and bands of the survey."""
        observed = _seen(self.builder_config)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    **observed,
                    "redshift": _number("the label"),
                    "redshift_error": _number("its standard error"),
                    "z_true": _number("the true redshift"),
                    "magnitude": _number("total i magnitude, AB, without noise"),
                    "id": tfds.features.Text(doc="unique over configs and seeds"),
                    "group": tfds.features.Text(doc="equal for the same galaxy"),
                }
            ),
            supervised_keys=(*observed, "redshift"),
            metadata=tfds.core.MetadataDict(_metadata(self.builder_config)),
        )

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

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        chosen = self.builder_config
        if chosen.kind == "catalog":
            super()._download_and_prepare(*args, **kwargs)
            return
        neighbours = catalogue.neighbour_pool(chosen.seed, chosen.selection)
        with workers.StampPool(chosen.imaging(), neighbours, chosen.count) as pool:
            self._pool = pool
            try:
                super()._download_and_prepare(*args, **kwargs)
            finally:
                self._pool = None

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        """Returns a generator for each split; nothing is downloaded."""
        chosen = self.builder_config
        table = catalogue.draw(
            chosen.count, chosen.seed, chosen.selection, chosen.labels
        )
        place = np.arange(chosen.count) % 10
        return {
            split: self._generate_examples(
                {key: column[np.isin(place, places)] for key, column in table.items()}
            )
            for split, places in SPLITS.items()
        }

    def _generate_examples(self, table: dict[str, np.ndarray]) -> Iterator[tuple]:
        """Yields (id, example) for the galaxies of `table`, in order."""
        (name,) = _seen(self.builder_config)
        for row, values in enumerate(self._observe(table)):
            identity = table["id"][row]
            yield (
                identity,
                {
                    name: values,
                    "redshift": np.float32(table["redshift"][row]),
                    "redshift_error": np.float32(table["redshift_error"][row]),
                    "z_true": np.float32(table["z"][row]),
                    "magnitude": np.float32(table["magnitude"][row]),
                    "id": identity,
                    "group": identity,
                },
            )

    def _observe(self, table: dict[str, np.ndarray]) -> Iterable[np.ndarray]:
        """Returns what is seen of each galaxy: stamps, or fluxes with errors."""
        if self._pool is not None:
            return self._pool.draw(table)
        aperture = self.builder_config.aperture()
        return aperture.measure(table["flux"], table["radius"], table["deviate"])


def _seen(chosen: MockHSCConfig) -> dict[str, tfds.features.Tensor]:
    """Returns the feature that models read, by its name."""
    if chosen.kind == "catalog":
        feature = tfds.features.Tensor(
            shape=(len(BANDS), 2),
            dtype=np.float32,
            doc="total flux and its standard error, uJy (AB 23.9); band g r i z y",
        )
        return {"photometry": feature}
    feature = tfds.features.Tensor(
        shape=(chosen.image_size, chosen.image_size, len(BANDS)),
        dtype=np.float32,
        encoding="bytes",
        doc="counts, zero point 27 AB; height, width, band g r i z y",
    )
    return {"image": feature}


def _number(doc: str) -> tfds.features.Scalar:
    return tfds.features.Scalar(dtype=np.float32, doc=doc)


def _metadata(chosen: MockHSCConfig) -> dict:
    exact = chosen.labels == "exact"
    if chosen.kind == "catalog":
        scale, unit, zero_point = None, "uJy", photometry.ZERO_POINT
    else:
        scale, unit = PIXEL_SCALE, "counts, zero point 27 AB (as HSC coadds)"
        zero_point = 27.0
    return {
        "bands": list(BANDS),
        "pixel_scale": scale,
        "unit": unit,
        "zero_point": [zero_point] * len(BANDS),
        "magnitude_system": "AB",
        "magnitude_band": "i",
        "filters": list(catalogue.FILTERS),
        "psf_fwhm": list(SEEING[chosen.depth]),
        "extinction": "none",
        "label_kind": "spectroscopic" if exact else "photometric",
        "licence": "BSD-3-Clause (simulated)",
        "acknowledgement": "See ACKNOWLEDGEMENT.md of mock_hsc.",
        "depth_5_sigma": list(DEPTHS[chosen.depth]),
        "caveat": "Simulated; not for n(z) science.",
        "options": chosen.options(),
    }

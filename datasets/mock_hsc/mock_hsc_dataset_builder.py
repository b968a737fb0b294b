"""The embedded mock survey: simulated galaxies as Hyper Suprime-Cam sees them."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.errors import InputError, unknown
from kphotoz_datasets import _building
from kphotoz_datasets.mock_hsc import catalogue
from kphotoz_datasets.simulate import stamps, workers

__all__ = ["Builder", "MockHSCConfig", "config"]

BANDS = ("g", "r", "i", "z", "y")
PIXEL_SCALE = 0.168  # arcsec
# 5 sigma depth of a point source (AB) and seeing (arcsec), g to y: HSC-SSP PDR2, Aihara
# et al. 2019, PASJ 71, 114, table 2; recollected, Wide with seeing as measured there.
DEPTHS = {
    "wide": (26.6, 26.2, 26.2, 25.3, 24.5),
    "deep": (27.3, 26.9, 26.7, 26.3, 25.3),
}
SEEING = {
    "wide": (0.79, 0.75, 0.61, 0.68, 0.68),
    "deep": (0.81, 0.74, 0.62, 0.63, 0.71),
}
CHOICES = {
    "labels": ("template_fit", "exact"),
    "selection": ("deep", "bright"),
    "depth": ("deep", "wide"),
}
COUNTS = {"deep": 4000, "bright": 2500}
# Position of a galaxy modulo 10 -> split, so that splits do not depend on the count.
SPLITS = {
    "train": (0, 1, 2, 3, 4, 5),
    "validation": (6,),
    "calibration": (7,),
    "test": (8, 9),
}


@dataclasses.dataclass(eq=False)
class MockHSCConfig(tfds.core.BuilderConfig):
    """One mock survey.

    Args:
        count: int >= 10. Galaxies in all splits together.
        seed: int >= 0. Another seed has other galaxies.
        image_size: int >= 8. Pixels a side.
        labels: str. "template_fit" (photometric redshifts with their errors) or
            "exact" (the true redshift).
        selection: str. "deep" (all galaxies of i < 23.5) or "bright" (as HSC's
            spectroscopic sample in redshift, i and g - z).
        depth: str. "deep" or "wide": noise and seeing of those HSC layers.
    """

    count: int = 4000
    seed: int = 0
    image_size: int = 64
    labels: str = "template_fit"
    selection: str = "deep"
    depth: str = "deep"

    def imaging(self) -> stamps.Imaging:
        """Returns what the telescope does to the galaxies of this survey."""
        return stamps.Imaging(
            self.image_size, PIXEL_SCALE, SEEING[self.depth], DEPTHS[self.depth]
        )


def _describe(labels: str, selection: str, depth: str) -> str:
    label = {"template_fit": "template-fit redshifts", "exact": "exact redshifts"}
    chosen = {"deep": "galaxies of i < 23.5", "bright": "galaxies as HSC spectroscopy"}
    return f"{chosen[selection]}, {label[labels]}, HSC {depth.capitalize()} imaging"


def _plain_name(labels: str, selection: str, depth: str) -> str:
    short = {
        ("template_fit", "deep", "deep"): "photometric",
        ("exact", "bright", "wide"): "spectroscopic",
    }
    return short.get((labels, selection, depth), f"{labels}-{selection}-{depth}")


def _plain_configs() -> dict[str, MockHSCConfig]:
    """Returns the eight combinations of label noise, selection and depth by name."""
    configs = {}
    for labels in CHOICES["labels"]:
        for selection in CHOICES["selection"]:
            for depth in CHOICES["depth"]:
                name = _plain_name(labels, selection, depth)
                configs[name] = MockHSCConfig(
                    name=name,
                    description=_describe(labels, selection, depth),
                    count=COUNTS[selection],
                    labels=labels,
                    selection=selection,
                    depth=depth,
                )
    return configs


CONFIGS = _plain_configs()


def config(name: str = "photometric", **options) -> MockHSCConfig:
    """Returns a named configuration, with options changed and a name that says so.

    Args:
        name: str. One of the eight named ones, such as "photometric".
        **options: `count`, `seed`, `image_size`, `labels`, `selection`, `depth` as in
            `MockHSCConfig`. An option that differs from the named configuration of
            these labels, selection and depth enters the name:
            "photometric-n12000-s3".

    Raises:
        InputError: an unknown name or option, or a value that cannot be.
    """
    if name not in CONFIGS:
        raise unknown("configuration of mock_hsc", name, CONFIGS)
    for option in options:
        if option not in ("count", "seed", "image_size", *CHOICES):
            raise unknown(
                "option of mock_hsc", option, ("count", "seed", "image_size", *CHOICES)
            )
    switches = {key: options.pop(key, getattr(CONFIGS[name], key)) for key in CHOICES}
    for key, value in switches.items():
        if value not in CHOICES[key]:
            raise unknown(f"`{key}` of mock_hsc", value, CHOICES[key])
    sizes = _checked_sizes(options)
    plain = CONFIGS[_plain_name(**switches)]
    changed = {k: v for k, v in sizes.items() if v != getattr(plain, k)}
    if not changed:
        return plain
    letters = {"count": "n", "seed": "s", "image_size": "p"}
    suffix = "".join(
        f"-{letters[key]}{changed[key]}" for key in letters if key in changed
    )
    return MockHSCConfig(
        name=plain.name + suffix,
        description=plain.description,
        **({key: getattr(plain, key) for key in letters} | changed | switches),
    )


def _checked_sizes(options: dict) -> dict[str, int]:
    least = {"count": 10, "seed": 0, "image_size": 8}
    sizes = {}
    for key, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            text = str(value)
            value = int(text) if text.isdigit() else None
        if value is None or value < least[key]:
            raise InputError(
                f"Wanted: a whole number from {least[key]} up for `{key}` of mock_hsc. "
                f"Received: {options[key]!r}."
            )
        sizes[key] = int(value)
    return sizes


class Builder(tfds.core.GeneratorBasedBuilder):
    """Simulated galaxies in HSC's five bands; see README.md for what is not real."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = list(CONFIGS.values())
    DEFAULT_BUILDER_CONFIG_NAME = "photometric"

    _pool = None

    def _info(self) -> tfds.core.DatasetInfo:
        """Returns features, units and bands of the survey."""
        size = self.builder_config.image_size
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(
                        shape=(size, size, len(BANDS)),
                        dtype=np.float32,
                        encoding="bytes",
                        doc="counts, zero point 27 AB; height, width, band g r i z y",
                    ),
                    "redshift": _number("the label"),
                    "redshift_error": _number("its standard error"),
                    "z_true": _number("the true redshift"),
                    "magnitude": _number("total i magnitude, AB, without noise"),
                    "id": tfds.features.Text(doc="unique over configs and seeds"),
                    "group": tfds.features.Text(doc="equal for the same galaxy"),
                }
            ),
            supervised_keys=("image", "redshift"),
            metadata=tfds.core.MetadataDict(_metadata(self.builder_config)),
        )

    def download_and_prepare(self, **kwargs) -> None:
        """Builds the survey, once however many processes ask at a time.

        Args:
            **kwargs: as `tfds.core.DatasetBuilder.download_and_prepare`.
        """
        if self.data_path.exists():
            super().download_and_prepare(**kwargs)
            return
        with _building.build_lock(self.data_path.parent):
            built_meanwhile = self.data_path.exists()
            super().download_and_prepare(**kwargs)
        if built_meanwhile:
            self.info.read_from_directory(self.data_path)

    def _download_and_prepare(self, *args, **kwargs) -> None:
        chosen = self.builder_config
        neighbours = catalogue.neighbour_pool(chosen.seed, chosen.selection)
        with workers.StampPool(chosen.imaging(), neighbours, chosen.count) as pool:
            self._pool = pool
            try:
                super()._download_and_prepare(*args, **kwargs)
            finally:
                self._pool = None

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
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
        for row, image in enumerate(self._pool.draw(table)):
            identity = table["id"][row]
            yield (
                identity,
                {
                    "image": image,
                    "redshift": np.float32(table["redshift"][row]),
                    "redshift_error": np.float32(table["redshift_error"][row]),
                    "z_true": np.float32(table["z"][row]),
                    "magnitude": np.float32(table["magnitude"][row]),
                    "id": identity,
                    "group": identity,
                },
            )


def _number(doc: str) -> tfds.features.Scalar:
    return tfds.features.Scalar(dtype=np.float32, doc=doc)


def _metadata(chosen: MockHSCConfig) -> dict:
    exact = chosen.labels == "exact"
    return {
        "bands": list(BANDS),
        "pixel_scale": PIXEL_SCALE,
        "unit": "counts, zero point 27 AB (as HSC coadds)",
        "zero_point": [27.0] * len(BANDS),
        "magnitude_system": "AB",
        "filters": list(catalogue.FILTERS),
        "psf_fwhm": list(SEEING[chosen.depth]),
        "extinction": "none",
        "label_kind": "spectroscopic" if exact else "photometric",
        "licence": "BSD-3-Clause (simulated)",
        "acknowledgement": "See ACKNOWLEDGEMENT.md of mock_hsc.",
        "depth_5_sigma": list(DEPTHS[chosen.depth]),
        "caveat": "Simulated; not for n(z) science.",
        "options": {
            key: getattr(chosen, key)
            for key in ("count", "seed", "image_size", *CHOICES)
        },
    }

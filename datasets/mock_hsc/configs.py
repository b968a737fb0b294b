"""The configurations of the mock survey: names, options, bands, depths.

Eight combinations of label noise, selection and depth, each as images and as a
catalogue of the same galaxies, whose name ends in `_catalog`.
"""

import dataclasses
import functools
import itertools
import re
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kphotoz.errors import InputError, unknown
from kphotoz_datasets.simulate import photometry, stamps

__all__ = ["BANDS", "CONFIGS", "MockHSCConfig", "config", "named"]

BANDS = ("g", "r", "i", "z", "y")
PIXEL_SCALE = 0.168  # arcsec
# 5 sigma depth of a point source (AB) and seeing (arcsec), g to y: HSC-SSP PDR2, Aihara
# et al. 2019, PASJ 71, 114, table 2; recollected, not copied.
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
    "kind": ("image", "catalog"),
}
# What a changed size adds to a configuration's name.
LETTERS = {"count": "n", "seed": "s", "image_size": "p"}
COUNTS = {"deep": 4000, "bright": 2500}


@dataclasses.dataclass(eq=False)
class MockHSCConfig(tfds.core.BuilderConfig):
    """One mock survey.

    Args:
        count: int >= 10. Galaxies in all splits together.
        seed: int >= 0. Another seed has other galaxies.
        image_size: int >= 8. Pixels a side; of no meaning for a catalogue.
        labels: str. "template_fit" (photometric redshifts with their errors) or
            "exact" (the true redshift).
        selection: str. "deep" (all galaxies of i < 23.5) or "bright" (as HSC's
            spectroscopic sample in redshift, i and g - z).
        depth: str. "deep" or "wide": noise and seeing of those HSC layers.
        kind: str. "image" or "catalog" (fluxes and their errors, no pixels).
    """

    count: int = 4000
    seed: int = 0
    image_size: int = 64
    labels: str = "template_fit"
    selection: str = "deep"
    depth: str = "deep"
    kind: str = "image"

    def imaging(self) -> stamps.Imaging:
        """Returns what the telescope does to the galaxies of this survey."""
        return stamps.Imaging(
            self.image_size, PIXEL_SCALE, SEEING[self.depth], DEPTHS[self.depth]
        )

    def aperture(self) -> photometry.Aperture:
        """Returns how fluxes of this survey's catalogue are measured."""
        return photometry.Aperture(SEEING[self.depth], DEPTHS[self.depth])

    def options(self) -> dict[str, int | str]:
        """Returns the options that this survey is made with."""
        unused = {"image_size"} if self.kind == "catalog" else set()
        return {
            key: getattr(self, key) for key in (*LETTERS, *CHOICES) if key not in unused
        }


def _describe(labels: str, selection: str, depth: str, kind: str) -> str:
    label = {"template_fit": "template-fit redshifts", "exact": "exact redshifts"}
    chosen = {"deep": "galaxies of i < 23.5", "bright": "galaxies as HSC spectroscopy"}
    observed = {"image": "imaging", "catalog": "photometry"}
    layer = f"HSC {depth.capitalize()} {observed[kind]}"
    return f"{chosen[selection]}, {label[labels]}, {layer}"


def _plain_name(labels: str, selection: str, depth: str, kind: str) -> str:
    short = {
        ("template_fit", "deep", "deep"): "photometric",
        ("exact", "bright", "wide"): "spectroscopic",
    }
    switches = (labels, selection, depth)
    end = "_catalog" if kind == "catalog" else ""
    return short.get(switches, "-".join(switches)) + end


def _plain_configs() -> dict[str, MockHSCConfig]:
    """Returns the sixteen combinations of the four switches by name."""
    configs = {}
    for kind in CHOICES["kind"]:
        for values in itertools.product(*(CHOICES[key] for key in list(CHOICES)[:3])):
            switches: dict[str, Any] = dict(zip(CHOICES, (*values, kind), strict=True))
            name = _plain_name(**switches)
            configs[name] = MockHSCConfig(
                name=name,
                description=_describe(**switches),
                count=COUNTS[switches["selection"]],
                **switches,
            )
    return configs


CONFIGS = _plain_configs()


def config(name: str = "photometric", **options: Any) -> MockHSCConfig:
    """Returns a named configuration, with options changed and a name that says so.

    Args:
        name: str. One of the sixteen named ones, such as "photometric" or
            "photometric_catalog".
        **options: `count`, `seed`, `image_size`, `labels`, `selection`, `depth`, `kind`
            as in `MockHSCConfig`. A size that differs from the named configuration of
            these switches enters the name: "photometric-n12000-s3".

    Raises:
        InputError: an unknown name or option, or a value that cannot be.
    """
    if name not in CONFIGS:
        raise unknown("configuration of mock_hsc", name, CONFIGS)
    for option in options:
        if option not in (*LETTERS, *CHOICES):
            raise unknown("option of mock_hsc", option, (*LETTERS, *CHOICES))
    switches = {key: options.pop(key, getattr(CONFIGS[name], key)) for key in CHOICES}
    for key, value in switches.items():
        if value not in CHOICES[key]:
            raise unknown(f"`{key}` of mock_hsc", value, CHOICES[key])
    plain = CONFIGS[_plain_name(**switches)]
    sizes = _checked_sizes(options)
    if plain.kind == "catalog" and "image_size" in sizes:
        raise InputError(
            f"Wanted: options of a catalogue for mock_hsc/{plain.name}, which has no "
            f"images. Received: image_size={sizes['image_size']}. Leave it out."
        )
    return _sized(plain.name, *(sizes.get(key, getattr(plain, key)) for key in LETTERS))


@functools.cache  # TFDS wants one object for one name
def _sized(name: str, count: int, seed: int, image_size: int) -> MockHSCConfig:
    plain = CONFIGS[name]
    values: dict[str, Any]
    values = dict(zip(LETTERS, (count, seed, image_size), strict=True))
    changed = [key for key in LETTERS if values[key] != getattr(plain, key)]
    if not changed:
        return plain
    values |= {key: getattr(plain, key) for key in CHOICES}
    return MockHSCConfig(
        name=name + "".join(f"-{LETTERS[key]}{values[key]}" for key in changed),
        description=plain.description,
        **values,
    )


def named(name: str) -> MockHSCConfig | None:
    """Returns the configuration that `config` gives this name, or None."""
    stem = max((n for n in CONFIGS if name.startswith(n)), key=len, default="")
    sizes = "".join(rf"(?:-{letter}(\d+))?" for letter in LETTERS.values())
    match = stem and re.fullmatch(sizes, name[len(stem) :])
    if not match:
        return None
    given: dict[str, Any]
    given = {k: v for k, v in zip(LETTERS, match.groups(), strict=True) if v}
    if "image_size" in given and CONFIGS[stem].kind == "catalog":
        return None
    wanted = config(stem, **given)
    return wanted if wanted.name == name else None


def _checked_sizes(options: dict) -> dict[str, int]:
    least = {"count": 10, "seed": 0, "image_size": 8}
    sizes = {}
    for key, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            text = str(value)
            value = int(text) if text.isdecimal() else None
        if value is None or value < least[key]:
            raise InputError(
                f"Wanted: a whole number from {least[key]} up for `{key}` of mock_hsc. "
                f"Received: {options[key]!r}."
            )
        sizes[key] = int(value)
    return sizes

"""Who is in the mock survey, and what is known of each: everything but what is seen.

The sky is read field by field, each with random streams of its own made of (stream,
seed, selection, field). So a larger count contains the smaller one, label noise changes
no pixel, and depth and seeing change no galaxy.
"""

import functools

import numpy as np

from kphotoz_datasets.simulate import population, spectra, spectroscopic, template_fit

__all__ = ["FILTERS", "draw", "label_fit", "neighbour_pool"]

FILTERS = tuple(f"hsc2017-{band}" for band in ("g", "r2", "i2", "z", "y"))
SELECTIONS = ("deep", "bright")

# Streams of random numbers; the stamps' stream is separate from all of these.
GALAXIES, LABELS, NEIGHBOURS, CALIBRATION, STAMPS, PHOTOMETRY = range(6)

DEEP_LIMIT = 23.5  # i; all galaxies to here
DEEP_AREA = 0.05  # square degrees a field, about 2,400 galaxies
# (square degrees, faintest i) of the galaxies that targets choose from: the wider and
# shallower, the rarer and brighter.
BRIGHT_TIERS = ((4.0, 21.0), (1.0, 22.8), (0.1, 25.2))
TARGETS = 250  # a field


def draw(
    count: int, seed: int, selection: str, labels: str = "exact"
) -> dict[str, np.ndarray]:
    """Returns `count` galaxies, in random order.

    Args:
        count: int.
        seed: int.
        selection: str, "deep" or "bright".
        labels: str, "exact" or "template_fit".

    Returns:
        dict of arrays (count, ...): the entries of `population.draw_field` and `id`
        (str), `key` (integers that seed the stamp), `deviate` (band; normal, the noise
        of a catalogue in units of its error), `redshift`, `redshift_error`.
    """
    parts, total, number = [], 0, 0
    while total < count:
        part = _field(seed, selection, number, labels)
        parts.append(part)
        total += len(part["z"])
        number += 1
    names = [name for name in parts[0] if name != "light"]
    return {name: np.concatenate([p[name] for p in parts])[:count] for name in names}


def neighbour_pool(seed: int, selection: str) -> dict[str, np.ndarray]:
    """Returns the galaxies that stamps draw their neighbours from, to i = 25.5.

    None of them is a galaxy of the survey itself.
    """
    rng = _stream(NEIGHBOURS, seed, selection, 0)
    return population.draw_field(_survey_table(), 0.03, 25.5, rng)


@functools.cache
def label_fit() -> template_fit.TemplateFit:
    """Returns the template fit with its zero points; the same for every survey.

    Zero points come from galaxies of known redshift, i < 22, of no survey.
    """
    rng = np.random.default_rng([CALIBRATION])
    known = population.draw_field(_survey_table(), 0.12, 22.0, rng)
    flux, error = template_fit.observe(_many_bands(known), rng)
    return template_fit.TemplateFit.create().calibrated(flux, error, known["z"])


def _stream(stream: int, seed: int, selection: str, number: int) -> np.random.Generator:
    return np.random.default_rng([stream, seed, SELECTIONS.index(selection), number])


@functools.cache
def _survey_table() -> spectra.BandTable:
    return spectra.band_table(
        spectra.kcorrect_templates(), population.REST_FILTERS + FILTERS
    )


@functools.cache
def _label_table() -> spectra.BandTable:
    return spectra.band_table(spectra.kcorrect_templates(), tuple(template_fit.DEPTHS))


def _many_bands(galaxies: dict[str, np.ndarray]) -> np.ndarray:
    return np.einsum("nt,ntf->nf", galaxies["light"], _label_table().at(galaxies["z"]))


def _field(seed: int, selection: str, number: int, labels: str) -> dict:
    rng = _stream(GALAXIES, seed, selection, number)
    chosen = _deep(rng) if selection == "deep" else _bright(rng)
    count = len(chosen["z"])
    stem = f"{selection}-s{seed}-f{number}"
    chosen["id"] = np.array([f"{stem}-{row}" for row in range(count)], object)
    key = [STAMPS, seed, SELECTIONS.index(selection), number]
    chosen["key"] = np.array([[*key, row] for row in range(count)]).reshape(count, 5)
    noise = _stream(PHOTOMETRY, seed, selection, number)
    chosen["deviate"] = noise.standard_normal((count, len(FILTERS)))
    if labels == "template_fit":
        flux, error = template_fit.observe(
            _many_bands(chosen), _stream(LABELS, seed, selection, number)
        )
        chosen["redshift"], chosen["redshift_error"] = label_fit()(flux, error)
    else:
        chosen["redshift"] = chosen["z"]
        # 150 km/s, a usual error of a spectroscopic redshift (our choice).
        chosen["redshift_error"] = 0.0005 * (1 + chosen["z"])
    return chosen


def _deep(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return population.draw_field(_survey_table(), DEEP_AREA, DEEP_LIMIT, rng)


def _bright(rng: np.random.Generator) -> dict[str, np.ndarray]:
    tiers = [
        population.draw_field(_survey_table(), area, limit, rng)
        for area, limit in BRIGHT_TIERS
    ]
    library = {name: np.concatenate([t[name] for t in tiers]) for name in tiers[0]}
    colour = -2.5 * np.log10(library["flux"][:, 0] / library["flux"][:, 3])
    features = np.stack([np.log1p(library["z"]), library["magnitude"], colour], 1)
    targets = spectroscopic.draw_targets(TARGETS, rng)
    rows = spectroscopic.match(targets, features)
    return {name: values[rows] for name, values in library.items()}

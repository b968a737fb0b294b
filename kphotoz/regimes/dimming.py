"""Copies of a sample made fainter: a bright training set degraded towards a faint one.

A network trained on bright galaxies alone fails for faint ones, and a training set made
to resemble them helps: so found Hoyle et al. 2015 (arXiv 1501.06759), who place bright
galaxies at higher redshift with K-corrections, and Moskowitz et al. 2024 (arXiv
2402.15551), who add simulated ones. The formulation here is our own and simpler: a copy
has the spectrum, size and redshift of its galaxy and less light. So it is an
approximation: really fainter galaxies of that redshift are smaller and bluer, and no
copy has a redshift or colour that the bright ones lack.
"""

import functools

import numpy as np

from kphotoz.data.sample import Sample
from kphotoz.data.split_store import allocate
from kphotoz.data.survey_info import SurveyInfo
from kphotoz.errors import InputError
from kphotoz.features.noise import image_noise

__all__ = ["MOST", "DimmedStore", "degrade", "dim", "faint_magnitudes"]

MOST = 3.0  # mag by which a copy is made fainter at most; our choice
SUFFIX = "-dimmed"  # of the copies' ids
# Streams of random numbers of a seed.
_MAGNITUDES, _NOISE = range(2)
_CHUNK = 256  # objects computed at once; our choice
_NOISE_FROM = 2000  # images that the noise of a sample is measured on; our choice


def degrade(sample: Sample, like: Sample, seed: int) -> Sample:
    """Returns a copy of each object, with magnitudes drawn from those of `like`.

    Args:
        sample: Sample. What is copied.
        like: Sample. The fainter sample; of it only magnitudes are used.
        seed: int >= 0. Another seed has other magnitudes and other noise.

    Returns:
        Sample of `dim`, its magnitudes those of `faint_magnitudes`.

    Raises:
        InputError: a sample of which less than half the objects have a magnitude.
    """
    for one in (sample, like):
        _check_magnitudes(one)
    wanted = faint_magnitudes(sample.table["magnitude"], like.table["magnitude"], seed)
    return dim(sample, wanted, seed)


def faint_magnitudes(magnitude: np.ndarray, like: np.ndarray, seed: int) -> np.ndarray:
    """Returns a magnitude for each object, drawn among the fainter ones of a sample.

    Each object draws among all magnitudes of `like` that are fainter than its own by up
    to `MOST`, with equal chances; where there is none it keeps its own. Row number n
    of a seed draws the same however many rows there are.

    Args:
        magnitude: (n,) float [mag]. NaN where unknown: such an object keeps it.
        like: (m,) float [mag], of the same band and system. NaN ones are not drawn.
        seed: int >= 0.

    Returns:
        (n,) float64 [mag], not brighter than `magnitude`.
    """
    magnitude = np.asarray(magnitude, np.float64)
    like = np.sort(np.asarray(like, np.float64)[np.isfinite(like)])
    first = np.searchsorted(like, magnitude, side="right")
    end = np.searchsorted(like, magnitude + MOST, side="right")
    share = np.random.default_rng([seed, _MAGNITUDES]).random(len(magnitude))
    drawn = first + (share * (end - first)).astype(np.int64)
    wanted = magnitude.copy()
    some = end > first  # never so for NaN, which sorts after every magnitude
    wanted[some] = like[drawn[some]]
    return wanted


def dim(sample: Sample, magnitudes_wanted: np.ndarray, seed: int) -> Sample:
    """Returns a copy of each object with less light and the same noise.

    Fluxes are multiplied by f = 10^(-0.4 dm) and normal noise of sigma sqrt(1 - f^2) is
    added, so that the noise is again sigma. For images, which must be free of sky,
    sigma is the noise of a pixel of this sample in each band; their seeing stays, and
    neighbours fade with the object. For catalogues sigma is the error of each flux,
    which stays as it is; a flux without an error gets no noise, and what was not
    observed or not detected remains so. Noise of the objects' own photons is treated as
    that of the sky. Redshift, label and group are unchanged.

    Args:
        sample: Sample. What is copied; its splits' inputs are read when first needed.
        magnitudes_wanted: (n,) float [mag], none brighter than the object's own; where
            the own one is NaN, NaN, and the object is copied as it is.
        seed: int >= 0. Decides the noise, together with the row.

    Returns:
        Sample of n objects, ids with `SUFFIX`; inputs are computed once and kept.

    Raises:
        ValueError: magnitudes of another shape, or brighter than the objects' own.
    """
    wanted = np.asarray(magnitudes_wanted, np.float64)
    own = sample.table["magnitude"]
    if wanted.shape != own.shape:
        raise ValueError(
            f"`magnitudes_wanted` must have shape {own.shape}. Received: "
            f"{wanted.shape}."
        )
    fading = np.where(np.isnan(own) & np.isnan(wanted), 0.0, wanted - own)
    if not (fading >= 0).all():
        row = int(np.flatnonzero(~(fading >= 0))[0])
        raise ValueError(
            "`magnitudes_wanted` must not be brighter than the objects'. Received: "
            f"{wanted[row]} for an object of magnitude {own[row]} in row {row}."
        )
    store = DimmedStore(sample, fading, seed)
    return Sample([(store, np.arange(len(store)))])


class DimmedStore:
    """A split whose examples are dimmed copies, as `Sample` reads one; see `dim`.

    Args:
        sample: Sample. What is copied.
        fading: (n,) float64, >= 0 [mag]. By how much each copy is fainter.
        seed: int >= 0. Decides the noise, together with the row.
    """

    def __init__(self, sample: Sample, fading: np.ndarray, seed: int) -> None:
        self._sample = sample
        self._fading = fading
        self._seed = seed

    def __len__(self) -> int:
        return len(self._sample)

    @property
    def info(self) -> SurveyInfo:
        """Facts about the survey that was copied."""
        return self._sample.info

    @functools.cached_property
    def table(self) -> dict[str, np.ndarray]:
        """The catalogue of the copies, in the order of the sample."""
        table = {k: v for k, v in self._sample.table.items() if k != "survey"}
        table["id"] = table["id"] + SUFFIX
        table["magnitude"] = table["magnitude"] + self._fading
        return table

    @functools.cached_property
    def inputs(self) -> np.ndarray:
        """Images or photometry, (n, *input_shape) float32, in memory or on disk."""
        inputs = allocate((len(self), *self.info.input_shape))
        factor = 10 ** (-0.4 * self._fading)
        noise = self._pixel_noise() if self.info.kind == "image" else None
        for start in range(0, len(self), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(self)))
            plain, normal = self._sample.gather(rows), self._normal(rows)
            if noise is not None:
                inputs[rows] = _faded(plain, noise, factor[rows], normal)
            else:
                inputs[rows] = _faded_photometry(plain, factor[rows], normal)
        return inputs

    def _pixel_noise(self) -> np.ndarray:
        noise = image_noise(self._sample.inputs(limit=_NOISE_FROM))
        return np.median(noise, axis=0)

    def _normal(self, rows: np.ndarray) -> np.ndarray:
        """Returns normal numbers, of the inputs' shape (of fluxes: n, band)."""
        shape = self.info.input_shape
        shape = shape if self.info.kind == "image" else shape[:-1]
        return np.stack(
            [
                np.random.default_rng([self._seed, _NOISE, row]).standard_normal(
                    shape, np.float32
                )
                for row in rows.tolist()
            ]
        )


def _faded(
    flux: np.ndarray, noise: np.ndarray, factor: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    factor = factor.reshape(-1, *(1 for _ in flux.shape[1:]))
    return factor * flux + noise * np.sqrt(1 - factor**2) * normal


def _faded_photometry(
    photometry: np.ndarray, factor: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    flux, error = photometry[..., 0], photometry[..., 1]
    faded = _faded(flux, np.nan_to_num(error, nan=0.0), factor, normal)
    # A flux of exactly 0 says "not detected", and its error is the limit.
    return np.stack([np.where(flux == 0, 0.0, faded), error], axis=-1)


def _check_magnitudes(sample: Sample) -> None:
    known = np.isfinite(sample.table["magnitude"])
    if 2 * known.sum() < len(sample):
        raise InputError(
            f"Wanted: magnitudes of at least half the objects of {sample.info.name}, "
            "to degrade the target towards the source's. Received: "
            f"{int(known.sum())} of {len(sample)}. Give their column when importing, "
            "--key magnitude=NAME, or leave out the regime augment."
        )

"""Why a row cannot be used: a word for each, "" for usable rows."""

import numpy as np

__all__ = ["flag_photometry", "flag_pixels", "flag_redshifts"]

# No object is known beyond z = 15; catalogues write 99 or 999 for "none". Our choice.
_HIGHEST_REDSHIFT = 30.0
_SENTINELS = (-9999.0, -999.0, -99.0, -9.0)


def flag_pixels(images: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Returns the flags with those of unusable pixels added.

    Args:
        images: (n, height, width, band) float32.
        flags: (n,) str objects. A flag that is set stays.
    """
    flags = flags.copy()
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        empty = ~images.any(axis=(1, 2, 3))
    flags[(flags == "") & ~finite] = "non_finite_pixels"
    flags[(flags == "") & empty] = "all_zero_image"
    return flags


def flag_redshifts(redshifts: np.ndarray) -> np.ndarray:
    """Returns "" for usable redshifts, else the reason, (n,) str objects.

    Args:
        redshifts: (n,) float64, dimensionless.
    """
    flags = np.full(len(redshifts), "", object)
    flags[redshifts < 0] = "negative_redshift"
    flags[np.isin(redshifts, _SENTINELS) | (redshifts > _HIGHEST_REDSHIFT)] = (
        "sentinel_redshift"
    )
    flags[~np.isfinite(redshifts)] = "missing_redshift"
    return flags


def flag_photometry(photometry: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Returns the flags with those of rows added in which no band was detected.

    Args:
        photometry: (n, band, 2) float32 [µJy].
        flags: (n,) str objects. A flag that is set stays.
    """
    flags = flags.copy()
    flux = photometry[..., 0]
    flags[(flags == "") & np.isnan(flux).all(axis=1)] = "no_photometry"
    # Zero stands for "not detected"; measured fluxes are not zero in every band.
    flags[(flags == "") & (np.isnan(flux) | (flux == 0)).all(axis=1)] = "no_detection"
    return flags

"""The one comparison of a model's bands and pixel scale with a survey's."""

from collections.abc import Sequence

from kphotoz.errors import InputError


def check_survey(
    wanted_bands: Sequence[str],
    wanted_scale: float | None,
    bands: Sequence[str],
    pixel_scale: float | None,
) -> None:
    """Raises InputError unless bands and their order, and known scales, agree."""
    received = [str(band) for band in bands]
    if received != list(wanted_bands):
        raise InputError(
            f"Wanted: bands in the order {','.join(wanted_bands)} of the model. "
            f"Received: {','.join(received)}. {_fix(wanted_bands, received)}"
        )
    known = pixel_scale is not None and wanted_scale is not None
    if known and abs(pixel_scale / wanted_scale - 1.0) > 0.01:
        raise InputError(
            f"Wanted: pixels of {wanted_scale:g} arcsec, as the model was "
            f"trained on. Received: {pixel_scale:g} arcsec. Resample the images."
        )


def _fix(wanted: Sequence[str], received: Sequence[str]) -> str:
    missing = [band for band in wanted if band not in received]
    if missing:
        return f"Give {', '.join(missing)} too, or train a model without."
    return "Give them in this order: of images the last axis, of tables the columns."

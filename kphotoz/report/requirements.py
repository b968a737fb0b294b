"""Requirement lines on redshifts, and the samples that they are meant for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from kphotoz.metrics import Window

__all__ = ["REQUIREMENTS", "Requirement", "magnitude_facts"]

# How far short of a requirement's limit a sample may end and still be the sample that
# it is written for [mag]: our choice.
_DEPTH = 0.5


@dataclasses.dataclass(frozen=True)
class Requirement:
    """Lines of one document.

    Args:
        name: str. Whose they are.
        lines: dict metric -> largest value.
        faint: float. Limit of its sample in i [mag].
        window: Window that it is written for, None for all redshifts.
        meant: str. Its sample, in words.
        dashes: line style, so that two requirements can be told apart in grey.
    """

    name: str
    lines: Mapping[str, float]
    faint: float
    window: Window | None
    meant: str
    dashes: tuple
    colour: str

    def against(self, sample: Mapping[str, Any], window: Window | None) -> str:
        """Returns why the sample is not the one meant; "" if it is.

        Args:
            sample: dict with "magnitude", as `magnitude_facts` gives it.
            window: Window that the numbers are taken in, or None.
        """
        facts = sample.get("magnitude") or {}
        if not facts.get("known"):
            return "the magnitudes of this sample are not known"
        if facts["known"] < 1:
            return f"{1 - facts['known']:.0%} of its magnitudes are not known"
        if facts.get("band") != "i":
            band = facts.get("band")
            said = f"are in {band}" if band else "have no declared band"
            return f"the magnitudes of this sample {said}"
        if facts["faint"] > self.faint:
            return f"this sample reaches i = {facts['faint']:.1f}"
        if facts["faint"] < self.faint - _DEPTH:
            return f"this sample ends at i = {facts['faint']:.1f}"
        if window != self.window:
            here = "all redshifts" if window is None else window
            return f"the numbers are for {here}"
        return ""


REQUIREMENTS = (
    # Source: as drawn by Seenivasan+2026; the sample is that of the LSST science
    # requirements. Its outliers are beyond 3 sigma: `outlier_rail` is the nearest.
    Requirement(
        name="LSST",
        lines={"bias_median": 0.003, "nmad": 0.02, "outlier_rail": 0.10},
        faint=25.3,
        window=None,
        meant="the Gold sample, i < 25.3",
        dashes=(0, (4, 2)),
        colour="#009E73",
    ),
    # Source: Rubin DMTN-049 (draft), the minimum for redshifts in the catalogue.
    Requirement(
        name="Rubin catalogue minimum",
        lines={"nmad": 0.05, "outlier_015": 0.10},
        faint=25.0,
        window=Window(0.0, 2.0, "z_pred"),
        meant="i < 25, 0 < z_phot < 2",
        dashes=(0, (1, 1.5)),
        colour="#7A3E9D",
    ),
)


def magnitude_facts(magnitudes: np.ndarray, band: str | None) -> dict[str, Any]:
    """Returns what requirement lines need to know of a sample's magnitudes.

    Args:
        magnitudes: (n,) array [mag], NaN where unknown.
        band: str or None. Their band, if declared.

    Returns:
        dict with "band", "known" (share of finite magnitudes), "median" and "faint"
        (99 % quantile) [mag], None where none is known.
    """
    magnitudes = np.asarray(magnitudes, np.float64)
    finite = magnitudes[np.isfinite(magnitudes)]
    known = finite.size / max(magnitudes.size, 1)
    middle, faint = np.quantile(finite, (0.5, 0.99)) if finite.size else (None, None)
    return {
        "band": band,
        "known": known,
        "median": None if middle is None else float(middle),
        "faint": None if faint is None else float(faint),
    }

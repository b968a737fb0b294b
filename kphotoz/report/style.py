"""How regimes and metrics look and are named, the same in every table and figure."""

import math

from kphotoz.metrics import DEFINITIONS
from kphotoz.metrics.point import RATES, SIGNED, improves

__all__ = [
    "axis_label",
    "better",
    "definition",
    "family",
    "heading",
    "look",
    "number",
    "sample_words",
]

# Okabe & Ito 2008, a palette told apart under every common colour-blindness, plus
# tints; the marker is a second channel.
_LOOKS = {
    "zero_shot": ("#6E6E6E", "o"),
    "from_scratch": ("#000000", "s"),
    "linear_probe": ("#E69F00", "^"),
    "conjugate_kernel": ("#F0E442", "d"),
    "transfer": ("#56B4E9", "v"),
    "transfer_paper": ("#9A7D0A", "x"),
    "full": ("#0072B2", "D"),
    "lora": ("#D55E00", "*"),
    "combined": ("#009E73", "P"),
    "random_forest": ("#CC79A7", "<"),
    "random_forest_combined": ("#8C4A73", ">"),
}
_SPARE = [
    ("#332288", "h"),
    ("#88CCEE", "p"),
    ("#882255", "d"),
    ("#999933", "8"),
    ("#44AA99", "H"),
    ("#AA4499", "X"),
]

_VARIANTS = "osD^vPXhp<>d8"

_NAMES = {
    "nmad": "σ_NMAD",
    "bias_median": "median bias",
    "bias_mean": "mean bias",
    "outlier_015": "|dz| > 0.15",
    "outlier_005": "|dz| ≥ 0.05",
    "catastrophic": "|Δz| > 1",
}
SAMPLES = ("deployment", "target", "source", "both")
DZ = "dz = (z_pred − z)/(1 + z), z the reference redshift"


def better(metric: str) -> str:
    """Returns in words which values of a metric are the better ones."""
    if metric in SIGNED:
        return "nearer to zero is better"
    return "higher is better" if improves(metric, 1.0) else "lower is better"


def look(regime: str, regimes: list[str]) -> tuple[str, str]:
    """Returns the colour and marker of a regime, the same wherever it is drawn.

    Variants of a sweep, as lora[rank=8], are shades of their regime's colour.

    Args:
        regime: str. Its name.
        regimes: list of str. All names of the comparison, in its order.
    """
    name = family(regime)
    if name in _LOOKS:
        colour, marker = _LOOKS[name]
    else:
        strangers = [family(one) for one in regimes]
        strangers = [one for one in dict.fromkeys(strangers) if one not in _LOOKS]
        colour, marker = _SPARE[strangers.index(name) % len(_SPARE)]
    if regime == name:
        return colour, marker
    variants = [one for one in regimes if family(one) == name and one != name]
    place = variants.index(regime)
    share = place / max(len(variants) - 1, 1)
    return _shade(colour, share - 0.5), _VARIANTS[place % len(_VARIANTS)]


def family(regime: str) -> str:
    """Returns the name of a regime without the settings that a sweep adds in [ ]."""
    return regime.partition("[")[0]


def _shade(colour: str, amount: float) -> str:
    """Returns a colour mixed with black (amount < 0) or white (> 0)."""
    end = 255 if amount > 0 else 0
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(part + abs(amount) * (end - part)) for part in parts]
    return "#" + "".join(f"{part:02X}" for part in mixed)


def definition(metric: str) -> str:
    """Returns the formula of a metric, or words that say it is not one of ours."""
    return DEFINITIONS.get(metric, "not a metric of this version")


def heading(metric: str) -> str:
    """Returns the head of a table column, with the unit of what stands in it."""
    return f"{metric} [%]" if metric in RATES else metric


def axis_label(metric: str) -> str:
    """Returns an axis label with symbol, name and unit."""
    symbol = _NAMES.get(metric)
    if metric in RATES:
        return f"{metric} [%]" + (f": {symbol}" if symbol else "")
    return f"{symbol} of dz" if symbol else metric


def factor(metric: str) -> float:
    """Returns what a value is multiplied with to be shown: 100 for rates."""
    return 100.0 if metric in RATES else 1.0


def number(metric: str, value: float | None, error: float | None) -> str:
    """Returns "value ± error" to two digits of the error; "n/a" for NaN or None."""
    if value is None or not math.isfinite(value):
        return "n/a"
    value = value * factor(metric)
    if error is None or not math.isfinite(error):
        return f"{value:.4g}"
    error = error * factor(metric)
    digits = 1 - math.floor(math.log10(error)) if error > 0 else 4
    digits = min(max(digits, 0), 6)
    value = round(value, digits) + 0.0  # no "-0.000"
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def sample_words(sample: str, truth: str) -> str:
    """Returns a sample and what it is scored against, in words."""
    against = {"z_true": "true redshift", "label": "label"}.get(truth, truth)
    return f"{sample}, against {against}"

"""What a comparison teaches, in sentences that follow from resolved differences."""

import math
from collections.abc import Collection

from kphotoz.metrics import Window
from kphotoz.metrics.point import badness, improves
from kphotoz.report.rows import Pair, Row

__all__ = ["remarks"]

Place = tuple[str, str]  # a sample, and what it is scored against
_PLACES: tuple[Place, ...] = (
    ("target", "label"),
    ("deployment", "z_true"),
    ("deployment", "label"),
)


def remarks(
    rows: list[Row],
    differences: list[Pair],
    headline: str,
    *,
    adapted: Collection[str],
    forests: Collection[str] = (),
    window: Window | None = None,
) -> list[str]:
    """Returns sentences on what adaptation moved, what it cost, and on the forest.

    Nothing is said from fewer than five seeds, when no difference counts as resolved.

    Args:
        rows: rows of a comparison.
        differences: its paired differences, in the headline metric and in the bias.
        headline: str. The metric that the comparison is about.
        adapted: names of regimes that carry a base to the target.
        forests: names of regimes that are no networks.
        window: the headline's, None for all redshifts.
    """
    results = _Results(rows, differences, headline, window)
    sentences = []
    for place in _PLACES:
        best = results.best(adapted, place)
        if best and results.row("zero_shot", place, headline):
            sentences.append(_moved(results, best, place))
            sentences.append(_forgotten(results, best, place))
        networks = [name for name in results.names(place) if name not in forests]
        network, forest = results.best(networks, place), results.best(forests, place)
        if network and forest:
            sentences.append(_forest(results, network, forest, place))
    return [sentence for sentence in dict.fromkeys(sentences) if sentence]


class _Results:
    """Rows and differences by name, at the largest label fraction."""

    def __init__(
        self,
        rows: list[Row],
        differences: list[Pair],
        headline: str,
        window: Window | None,
    ) -> None:
        self.headline = headline
        top = max((row.fraction for row in rows if row.fraction), default=None)
        self.rows = {
            (row.regime, (row.sample, row.truth), row.metric): row
            for row in rows
            if row.fraction in (None, top)
            and row.window == window
            and row.seeds >= 5
            and row.is_scored
        }
        self.pairs = {
            (pair.sides, (pair.sample, pair.truth), pair.metric): pair
            for pair in differences
            if top in (None, pair.fraction)
        }

    def names(self, place: Place) -> list[str]:
        return list(dict.fromkeys(key[0] for key in self.rows if key[1] == place))

    def row(self, name: str, place: Place, metric: str) -> Row | None:
        return self.rows.get((name, place, metric))

    def best(self, names: Collection[str], place: Place) -> str | None:
        scores = {
            name: badness(self.headline, row.value)
            for name in names
            if (row := self.row(name, place, self.headline))
        }
        return min(scores, key=lambda name: scores[name]) if scores else None

    def change(
        self, after: str, before: str, place: Place, metric: str
    ) -> float | None:
        """Returns metric of `after` minus that of `before`, 0.0 if not resolved.

        Biases are compared by size. None where the pair was not measured.
        """
        pair = self.pairs.get((frozenset((after, before)), place, metric))
        if pair is None or math.isnan(pair.value):
            return None
        return pair.turned(after).value if pair.resolved else 0.0

    def quote(self, name: str, place: Place, metric: str) -> str:
        row = self.rows[name, place, metric]
        error = f" ± {row.error:.4f}" if math.isfinite(row.error) else ""
        return f"{row.value:.4f}{error}"


def _moved(results: _Results, best: str, place: Place) -> str:
    """Returns what the best adapted regime changed in scatter and in bias."""
    metric = results.headline
    scatter = results.change(best, "zero_shot", place, metric)
    bias = results.change(best, "zero_shot", place, "bias_median")
    ends = [results.quote(name, place, metric) for name in ("zero_shot", best)]
    where = f"On the {place[0]} sample adaptation ({best})"
    if scatter is None:
        return ""
    moved = ""
    if bias:
        sides = [results.quote(n, place, "bias_median") for n in ("zero_shot", best)]
        what = "moved the bias" if bias < 0 else "made the bias worse,"
        moved = f"{what} from {sides[0]} to {sides[1]}"
    if scatter:
        verb = "lowered" if scatter < 0 else "raised"
        both = f" and {moved}" if moved else ""
        return f"{where} {verb} {metric} from {ends[0]} to {ends[1]}{both}."
    same = f"{metric} did not change resolvably ({ends[0]} before, {ends[1]} after)"
    if not moved:
        return f"{where} moved nothing resolvably: {same}."
    return f"{where} {moved}; {same}: the base's labels already gave that scatter."


def _forgotten(results: _Results, best: str, place: Place) -> str:
    """Returns what the best adapted regime lost on the source, if resolved."""
    metric = results.headline
    loss = results.change(best, "zero_shot", ("source", "label"), metric)
    if not loss or improves(metric, loss) or place[0] != "target":
        return ""
    ends = [results.quote(n, ("source", "label"), metric) for n in ("zero_shot", best)]
    return (
        f"The same regime forgets: on the source's labels its {metric} went from "
        f"{ends[0]} to {ends[1]}."
    )


def _forest(results: _Results, network: str, forest: str, place: Place) -> str:
    metric = results.headline
    change = results.change(network, forest, place, metric)
    if change is None:
        return ""
    ends = results.quote(network, place, metric), results.quote(forest, place, metric)
    if not change:
        words = "cannot be told from"
    else:
        words = "is better than" if improves(metric, change) else "is worse than"
    return (
        f"On the {place[0]} sample the best network, {network} ({metric} {ends[0]}), "
        f"{words} the best forest, {forest} ({ends[1]})."
    )

"""What a comparison teaches, in sentences that follow from resolved differences."""

import math
from collections.abc import Collection

from kphotoz.metrics.point import badness, improves

__all__ = ["remarks"]

_PLACES = (("target", "label"), ("deployment", "z_true"), ("deployment", "label"))


def remarks(
    rows: list[dict],
    differences: list[dict],
    headline: str,
    *,
    adapted: Collection[str],
    forests: Collection[str] = (),
    window: str | None = None,
) -> list[str]:
    """Returns sentences on what adaptation moved, what it cost, and on the forest.

    Nothing is said from fewer than five seeds, when no difference counts as resolved.

    Args:
        rows: rows of a comparison.
        differences: its paired differences, in the headline metric and in the bias.
        headline: str. The metric that the comparison is about.
        adapted: names of regimes that carry a base to the target.
        forests: names of regimes that are no networks.
        window: text of the headline's window, None for all redshifts.
    """
    found = _Found(rows, differences, headline, window)
    sentences = []
    for place in _PLACES:
        best = found.best(adapted, place)
        if best and found.row("zero_shot", place, headline):
            sentences.append(_moved(found, best, place))
            sentences.append(_forgotten(found, best, place))
        networks = [name for name in found.names(place) if name not in forests]
        rivals = found.best(networks, place), found.best(forests, place)
        if all(rivals):
            sentences.append(_forest(found, *rivals, place))
    return [sentence for sentence in dict.fromkeys(sentences) if sentence]


class _Found:
    """Rows and differences by name, at the largest label fraction."""

    def __init__(self, rows, differences, headline, window) -> None:
        self.headline = headline
        top = max((row["fraction"] for row in rows), default=0.0)
        self.rows = {
            (r["regime"], (r["sample"], r["truth"]), r["metric"]): r
            for r in rows
            if r["fraction"] in (0.0, top)
            and r.get("window") == window
            and r.get("seeds", 0) >= 5
            and r["value"] is not None
            and math.isfinite(r["value"])
        }
        self.pairs = {
            (frozenset((d["a"], d["b"])), (d["sample"], d["truth"]), d["metric"]): d
            for d in differences
            if d["fraction"] == top
        }

    def names(self, place) -> list[str]:
        return list(dict.fromkeys(key[0] for key in self.rows if key[1] == place))

    def row(self, name, place, metric) -> dict | None:
        return self.rows.get((name, place, metric))

    def best(self, names, place) -> str | None:
        scores = {}
        for name in names:
            row = self.row(name, place, self.headline)
            if row:
                scores[name] = badness(self.headline, row["value"])
        return min(scores, key=scores.get) if scores else None

    def change(self, after, before, place, metric) -> float | None:
        """Returns metric of `after` minus that of `before`, 0.0 if not resolved.

        Biases are compared by size. None where the pair was not measured.
        """
        pair = self.pairs.get((frozenset((after, before)), place, metric))
        if pair is None or pair["value"] is None:
            return None
        if not pair["resolved"]:
            return 0.0
        return pair["value"] if pair["a"] == after else -pair["value"]

    def quote(self, name, place, metric) -> str:
        row = self.row(name, place, metric)
        error = row["error"]
        known = error is not None and math.isfinite(error)
        return f"{row['value']:.4f}" + (f" ± {error:.4f}" if known else "")


def _moved(found: _Found, best: str, place: tuple[str, str]) -> str:
    """Returns what the best adapted regime changed in scatter and in bias."""
    metric = found.headline
    scatter = found.change(best, "zero_shot", place, metric)
    bias = found.change(best, "zero_shot", place, "bias_median")
    ends = [found.quote(name, place, metric) for name in ("zero_shot", best)]
    where = f"On the {place[0]} sample adaptation ({best})"
    if scatter is None:
        return ""
    moved = ""
    if bias:
        sides = [found.quote(n, place, "bias_median") for n in ("zero_shot", best)]
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


def _forgotten(found: _Found, best: str, place: tuple[str, str]) -> str:
    """Returns what the best adapted regime lost on the source, if resolved."""
    metric = found.headline
    loss = found.change(best, "zero_shot", ("source", "label"), metric)
    if not loss or improves(metric, loss) or place[0] != "target":
        return ""
    ends = [found.quote(n, ("source", "label"), metric) for n in ("zero_shot", best)]
    return (
        f"The same regime forgets: on the source's labels its {metric} went from "
        f"{ends[0]} to {ends[1]}."
    )


def _forest(found: _Found, network: str, forest: str, place: tuple[str, str]) -> str:
    metric = found.headline
    change = found.change(network, forest, place, metric)
    if change is None:
        return ""
    ends = found.quote(network, place, metric), found.quote(forest, place, metric)
    if not change:
        words = "cannot be told from"
    else:
        words = "is better than" if improves(metric, change) else "is worse than"
    return (
        f"On the {place[0]} sample the best network, {network} ({metric} {ends[0]}), "
        f"{words} the best forest, {forest} ({ends[1]})."
    )

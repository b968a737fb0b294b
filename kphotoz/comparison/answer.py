"""The one-line answer of a comparison, and where from-scratch training overtakes."""

import math

from kphotoz.metrics import Window
from kphotoz.metrics.point import badness, improves
from kphotoz.report.rows import Pair, Row

__all__ = ["answer", "crossover"]


def answer(
    rows: list[Row],
    differences: list[Pair],
    headline: str,
    seeds: int,
    window: Window | None = None,
) -> str:
    """Returns the answer for the deployment sample at the largest label fraction.

    A regime wins only if its paired difference from every other one is resolved and in
    its favour; otherwise the regimes that cannot be told from it are named, and those
    that are better on the objects that both predict. `window` is the headline's, None
    for all redshifts.
    """
    top = max((row.fraction for row in rows if row.fraction), default=None)
    deployed = {
        row.regime: row
        for row in rows
        if row.sample == "deployment"
        and row.metric == headline
        and row.window == window
        and row.fraction in (None, top)
    }
    scores = {name: row for name, row in deployed.items() if row.is_scored}
    if not scores:
        return "On the deployment sample no regime could be scored."
    ranked = sorted(scores, key=lambda name: badness(headline, scores[name].value))
    best = scores[ranked[0]]
    quoted = f"{headline} {best.value:.4f} ± {best.error:.4f}"
    leads = {
        name: _leads(differences, ranked[0], name, top, headline) for name in ranked[1:]
    }
    tied = [name for name, lead in leads.items() if lead is None]
    better = [name for name, lead in leads.items() if lead is False]
    where = "On the deployment sample"
    failed = [name for name in deployed if name not in scores]
    unscored = f"; no score for {', '.join(failed)}" if failed else ""
    if len(ranked) == 1:
        alone = "" if failed else ", the only regime,"
        return f"{where} {ranked[0]}{alone} has {quoted}{unscored}."
    if all(leads.values()):
        others = "all others that have a score" if failed else "all others"
        words = f"{where} {ranked[0]} is best: {quoted}, resolved against {others}"
        return f"{words}{unscored}."
    words = f"{where} {ranked[0]} is first with {quoted}"
    if tied:
        words += f", not resolved against {_rivals(tied, ranked, seeds)}"
    if better:
        words += (
            "; the order differs on the objects that both predict, where "
            f"{' and '.join(better)} did better"
        )
    return f"{words}{unscored}."


def _rivals(tied: list[str], ranked: list[str], seeds: int) -> str:
    reason = "" if seeds >= 5 else f" (seeds: {seeds}; an ordering counts from 5)"
    whole = len(tied) == len(ranked) - 1 and len(tied) > 1
    rivals = "any other regime" if whole else ", ".join(tied)
    return f"{rivals}{reason}"


def _leads(
    differences: list[Pair],
    first: str,
    other: str,
    fraction: float | None,
    headline: str,
) -> bool | None:
    """Returns whether `first` is the better on common objects, None if not resolved.

    Rows rank regimes on the objects that each can be scored on, which may differ.
    """
    for pair in differences:
        if (
            pair.resolved
            and pair.sides == {first, other}
            and pair.metric == headline
            and pair.sample == "deployment"
            and fraction in (None, pair.fraction)
        ):
            return improves(headline, pair.turned(first).value)
    return None


def crossover(
    rows: list[Row],
    adapted: list[str],
    headline: str,
    sample: str = "target",
    window: Window | None = None,
) -> dict | None:
    """Returns the label count from which training from scratch beats adaptation.

    At each fraction the best of the adapted regimes is compared with `from_scratch`;
    between two fractions the crossing is interpolated in the logarithm of the count.
    Better is what `badness` says: the higher r2, the smaller bias.

    Returns:
        None with fewer than two fractions or regimes missing; otherwise a dict with
        `labels` (None where adaptation leads, or from-scratch training leads, at every
        count), `points` (label count, from scratch, best adapted, its name) and `text`.
    """
    rows = [row for row in rows if row.window == window]
    points = _points(rows, adapted, headline, sample)
    if len(points) < 2:
        return None
    leads = [
        badness(headline, point["adapted"]) - badness(headline, point["from_scratch"])
        for point in points
    ]
    labels, low, high = None, points[0]["n_labels"], points[-1]["n_labels"]
    if all(lead < 0 for lead in leads):
        text = f"adaptation leads at every label count from {low} to {high}"
    elif all(lead >= 0 for lead in leads):
        text = f"from_scratch leads at every label count from {low} to {high}"
    elif leads[-1] < 0:
        text = f"adaptation leads at {high} labels; below, the order changes"
    else:
        last = max(i for i, lead in enumerate(leads) if lead < 0)
        share = leads[last] / (leads[last] - leads[last + 1])
        ends = [math.log(points[i]["n_labels"]) for i in (last, last + 1)]
        labels = round(math.exp(ends[0] + share * (ends[1] - ends[0])))
        text = f"from_scratch overtakes adaptation at about {labels} labels"
    return {"sample": sample, "labels": labels, "points": points, "text": text}


def _points(
    rows: list[Row], adapted: list[str], headline: str, sample: str
) -> list[dict]:
    chosen = [
        row
        for row in rows
        if (row.sample, row.truth, row.metric) == (sample, "label", headline)
        and row.fraction
        and row.is_scored
    ]
    points = []
    for fraction in sorted({row.fraction for row in chosen if row.fraction}):
        here = {row.regime: row for row in chosen if row.fraction == fraction}
        rivals = [name for name in adapted if name in here]
        if "from_scratch" not in here or not rivals:
            continue
        best = min(rivals, key=lambda name: badness(headline, here[name].value))
        points.append(
            {
                "fraction": fraction,
                "n_labels": here["from_scratch"].n_labels,
                "from_scratch": here["from_scratch"].value,
                "adapted": here[best].value,
                "best": best,
            }
        )
    return points

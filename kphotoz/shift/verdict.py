"""What the numbers of a comparison mean, in plain words.

All limits are our choice and stand below; p-values only say whether a difference is
there, effect sizes what it does.
"""

from collections.abc import Mapping
from typing import Any

from kphotoz.shift.drift import holm

__all__ = ["verdict"]

_ALONE = 0.5  # share of the target outside of the source: no overlap
_FEW_OUTSIDE = 0.05  # share that may lie outside where nothing is lost
_LEVEL = 0.05  # p, corrected for the views that are looked at
_HARM = 0.1  # of the source's scatter: a change that matters
_BIAS = 0.2  # of the source's scatter
# AUC of trained features above which nothing is promised without labels: below it one
# target of 38 lost more than 0.003, and that 0.0031: docs/results/shift.md.
_UNSEEN = 0.55
_KS = 0.1  # distance of two redshift distributions that matters
# Labels of the target up to which a regime is suggested.
_REGIMES = ((0, "zero_shot"), (100, "conjugate_kernel"), (1000, "lora"))
_MANY = "combined"


def verdict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `kinds` of shift, a `regime` and `sentences` with the evidence.

    Args:
        facts: dict with `tests` (view -> numbers), `matched` (how -> view -> numbers),
            `accuracy` as `losses.accuracy` gives it, `labels` (`target`, number of
            labels; `ks`, `p` and `outside` of the redshifts or None), `objects`
            (`target`, and `shared`, how many of them are in the source).
    """
    kinds, sentences = _kinds(facts)
    if facts["objects"]["shared"]:
        sentences.insert(
            0,
            "{shared} of {target} objects of the target are objects of the source: "
            "a difference is underrated.".format_map(facts["objects"]),
        )
    outside = _outside(facts)
    labelled = facts["labels"]["target"]
    if "no overlap" in kinds:
        regime = "from_scratch" if labelled else "zero_shot"
        advice = (
            "No overlap: train from scratch"
            if labelled
            else "No overlap, and no labels of the target: trust no prediction, and "
            "train from scratch as soon as there are labels"
        )
    elif not kinds or not (_harmful(facts) or outside > _FEW_OUTSIDE):
        regime = "zero_shot"
        advice = (
            "No difference was found: use the run as it is"
            if not kinds
            else "The samples differ, but the run loses nothing that matters: use it "
            "as it is"
        )
    else:
        regime = next((name for most, name in _REGIMES if labelled <= most), _MANY)
        advice = f"Adapt: with {labelled} labels of the target begin with {regime}"
        if not labelled:
            advice = "Adapt, which needs labels of the target: there are none"
    sentences.append(f"{advice}.")
    return {"kinds": kinds, "regime": regime, "sentences": sentences}


def _outside(facts: Mapping[str, Any]) -> float:
    """Returns the share of the target outside of the source, in either view.

    Less what would be outside of a sample of the source itself.
    """
    tests = [facts["tests"][view] for view in ("trained", "hand-made")]
    return max(0.0, *(one["outside"] - one["outside_null"] for one in tests))


def _kinds(facts: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    kinds, words = [], []
    outside = _outside(facts)
    beyond = facts["labels"]["outside"] or 0.0
    if max(outside, beyond) > _ALONE:
        kinds.append("no overlap")
    if outside > _ALONE:
        words.append(
            f"{outside:.0%} of the target lie farther out than nearly all of the "
            "source."
        )
    if beyond > _ALONE:
        words.append(
            f"{beyond:.0%} of the target's redshifts are beyond nearly all of the "
            "source's: there are no examples of them."
        )
    views = ("trained", "hand-made")
    tests = [facts["tests"][view] for view in views]
    p = holm([test["auc_p"] for test in tests])
    differs = p.min() < _LEVEL
    both = ", ".join(
        f"{view} features AUC {test['auc']:.3f} (p {one:.2g})"
        for view, test, one in zip(views, tests, p, strict=True)
    )
    verb = "can" if differs else "cannot"
    words.append(f"A linear classifier {verb} tell target from source: {both}.")
    matched = facts["matched"].get("magnitude and redshift") or {}
    same = matched and min(holm([matched[v]["auc_p"] for v in matched])) >= _LEVEL
    labels = facts["labels"]
    moved = labels["ks"] is not None and labels["ks"] > _KS and labels["p"] < _LEVEL
    if moved:
        kinds.append("label shift")
        words.append(
            f"The redshift distributions differ (Kolmogorov-Smirnov {labels['ks']:.2f})"
            + ("; at equal magnitude and redshift nothing else does." if same else ".")
        )
    if differs and not (moved and same):
        kinds.append("covariate shift")
    kinds += _concept(facts, words)
    words += _loss(facts)
    return kinds, words


def _concept(facts: Mapping[str, Any], words: list[str]) -> list[str]:
    """Returns concept shift where errors are not those of such objects in the source.

    Nothing is said where too few of the source look like the target.
    """
    unexplained, scatter = facts["accuracy"]["unexplained"], _scatter(facts)
    if unexplained["nmad"] is None or scatter is None:
        return []
    limits = {"nmad": _HARM * scatter, "bias_median": _BIAS * scatter}
    resolved = [
        name
        for name, limit in limits.items()
        if abs(unexplained[name]) > max(limit, 2 * unexplained[f"{name}_error"])
    ]
    for name in resolved:
        error = unexplained[f"{name}_error"]
        words.append(
            f"Labels relate to inputs in another way: {name} is "
            f"{unexplained[name]:+.4f} ± {error:.4f} from that of such objects in the "
            "source."
        )
    return ["concept shift"] if resolved else []


def _scatter(facts: Mapping[str, Any]) -> float | None:
    return facts["accuracy"]["source"]["nmad"]


def _harmful(facts: Mapping[str, Any]) -> bool:
    change, scatter = facts["accuracy"]["change"], _scatter(facts)
    if change["nmad"] is None or scatter is None:
        return True  # nothing is known: do not promise
    unseen = facts["accuracy"]["measured"]["nmad"] is None
    if unseen and facts["tests"]["trained"]["auc"] > _UNSEEN:
        return True
    worse = change["nmad"] > max(_HARM * scatter, 2 * change["nmad_error"])
    bias = abs(change["bias_median"])
    return worse or bias > max(_BIAS * scatter, 2 * change["bias_median_error"])


def _loss(facts: Mapping[str, Any]) -> list[str]:
    accuracy = facts["accuracy"]
    change, scatter = accuracy["change"], _scatter(facts)
    if change["nmad"] is None or scatter is None:
        return [
            "The loss of accuracy cannot be told: too few labels, or too few objects "
            "of the source look like the target."
        ]
    measured = accuracy["measured"]["nmad"] is not None
    how = "Measured" if measured else "Expected, if the target is a selection only,"
    caution = (
        ""
        if measured
        else (" Other zero points or another depth cost more, which only labels show.")
    )
    return [
        f"{how} on the target: nmad {scatter + change['nmad']:.4f} instead of "
        f"{scatter:.4f} ({change['nmad']:+.4f} ± {change['nmad_error']:.4f}), bias "
        f"{change['bias_median']:+.4f} ± {change['bias_median_error']:.4f} more."
        + caution
    ]

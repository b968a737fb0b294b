"""Smoothed validation scores."""

import math

__all__ = ["smooth"]

# The usual weight of the newest of about ten values, 2 / (10 + 1).
# Source: Seenivasan et al. 2026, arXiv 2601.00146, released code.
_WEIGHT = 2 / 11


def smooth(previous: float | None, score: float, kind: str) -> float:
    """Returns the score averaged with those before it.

    | kind | value |
    |---|---|
    | "none" | score |
    | "ema" | 9/11 previous + 2/11 score: an average over about ten evaluations |
    | "ema_paper" | 2/11 previous + 9/11 score: as published, hardly any smoothing |

    Args:
        previous: float or None. The smoothed score so far; None, or one that is not
            finite, starts anew.
        score: float. The newest score.
        kind: str.
    """
    if kind == "none" or previous is None or not math.isfinite(previous):
        return score
    newest = {"ema": _WEIGHT, "ema_paper": 1 - _WEIGHT}[kind]
    return (1 - newest) * previous + newest * score

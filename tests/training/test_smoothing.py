import math

import numpy as np
import pytest

from kphotoz.training.smoothing import smooth

SCORES = [1.0, 2.0, 0.0]


def series(kind, scores):
    found, value = [], None
    for score in scores:
        value = smooth(value, score, kind)
        found.append(value)
    return found


def test_without_smoothing_each_score_stands_for_itself():
    assert series("none", SCORES) == SCORES


def test_the_two_directions_weigh_a_step_by_hand_computed_parts():
    # From 1 to 2 with a = 2/11: conventional 1 + a, as published 1 + (1 - a).
    assert series("ema", SCORES)[1] == pytest.approx(13 / 11)
    assert series("ema_paper", SCORES)[1] == pytest.approx(20 / 11)


@pytest.mark.parametrize(("kind", "variance"), [("ema", 0.1), ("ema_paper", 9 / 13)])
def test_noise_is_reduced_by_the_textbook_factor(kind, variance):
    # Var = w / (2 - w) for weight w of the newest: 0.1 for 2/11, 9/13 for 9/11.
    noise = np.random.default_rng(0).normal(size=40_000)
    found = np.var(series(kind, noise)[100:])
    assert found == pytest.approx(variance, rel=0.05)  # 5 standard errors and more


@pytest.mark.parametrize("kind", ["ema", "ema_paper"])
def test_one_broken_epoch_does_not_spoil_all_later_ones(kind):
    assert series(kind, [1.0, math.inf, 0.5])[-1] == 0.5

import dataclasses
import json
import math

import pytest

from kphotoz.training.schedule import Plateau, rate_of
from kphotoz.training.settings import Training


def rates(scores, start=1e-3):
    plateau = Plateau(start)
    return [plateau.step(score) for score in scores]


def test_the_rate_falls_at_the_sixth_score_that_is_no_better():
    # By hand: the first score is the best, five more are waited for.
    assert rates([0.5] * 7) == pytest.approx([1e-3] * 6 + [1e-4])
    assert rates([0.5] * 13)[-1] == pytest.approx(1e-5)


def test_an_improvement_below_one_in_ten_thousand_is_none():
    creeping = [0.5 * (1 - 0.9e-4) ** i for i in range(7)]
    assert creeping[1] > 0.5 * 0.9999
    # Against the best so far, not the last: two such steps together are one.
    assert rates(creeping)[-1] == 1e-3
    assert rates([0.5] + [0.49996] * 6)[-1] == pytest.approx(1e-4)
    assert rates([0.5, 0.4999, *[0.4999] * 4])[-1] == 1e-3


def test_the_rate_ends_at_the_one_at_which_the_published_base_ended():
    # 1e-8 - 1e-9 is no change of more than 1e-8, so torch leaves it.
    last = rates([0.5] * 100)[-1]
    assert last == pytest.approx(1e-8)


def test_a_score_that_is_not_finite_is_no_improvement():
    assert rates([math.inf] * 6)[-1] == pytest.approx(1e-4)
    assert rates([math.nan] * 6)[-1] == pytest.approx(1e-4)


def test_its_state_survives_a_file():
    plateau = Plateau(1e-3)
    for score in (0.5, 0.4, 0.45, 0.45):
        plateau.step(score)
    text = json.dumps(dataclasses.asdict(plateau))
    assert Plateau(**json.loads(text)) == plateau


def test_a_cosine_rises_and_falls_and_the_others_start_at_their_rate():
    settings = Training(learning_rate=1e-2, warmup=0.2)
    cosine = rate_of(settings, 10)
    values = [float(cosine(step)) for step in range(11)]
    assert values[0] == pytest.approx(1e-2 / 3)
    assert values[2] == max(values) == pytest.approx(1e-2)
    # Half way down: the mean of the rate and of its hundredth.
    assert values[6] == pytest.approx(1e-2 * (0.5 + 0.5 * 0.01))
    assert values[10] == pytest.approx(1e-4)
    for schedule in ("constant", "plateau"):
        changed = settings.model_copy(update={"schedule": schedule})
        assert rate_of(changed, 10) == 1e-2

import numpy as np
import pytest

from kphotoz.errors import InputError
from kphotoz.tasks import RedshiftTask

TASK = RedshiftTask((0.0, 4.0))


def test_score_is_the_hsc_loss_of_a_hand_made_error():
    # dz = 0.15 everywhere: 1 - 1 / (1 + 1) = 0.5.
    z = np.array([0.0, 1.0, 3.0])
    assert TASK.score(z + 0.15 * (1 + z), z) == pytest.approx(0.5, abs=1e-12)


def test_a_prediction_that_is_no_number_never_wins():
    assert TASK.score(np.array([np.nan, 0.5]), np.array([0.5, 0.5])) == np.inf


def test_missing_labels_are_counted_and_the_first_row_named():
    with pytest.raises(InputError, match="2 missing, first in row 1"):
        TASK.check_labels(np.array([0.1, np.nan, 0.3, np.nan]), "train")


def test_labels_outside_the_range_are_an_error_above_one_in_a_thousand():
    z = np.full(2000, 0.5)
    z[[3, 7]] = 5.0
    TASK.check_labels(z, "train")
    z[9] = -1.0
    with pytest.raises(InputError, match="3 of 2000 outside"):
        TASK.check_labels(z, "train")

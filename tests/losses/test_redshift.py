"""Losses against values by hand."""

import keras
import numpy as np
import pytest

from kphotoz.losses import HSCLoss, RobustLoss


def test_hsc_loss_is_half_at_dz_of_gamma():
    z = np.array([1.0, 0.0], "float32")
    # dz = 0.3 / 2 = 0.15 -> 1/2; dz = 0.45 = 3 gamma -> 9/10.
    guess = np.array([[1.3], [0.45]], "float32")
    got = HSCLoss()(z, guess)
    np.testing.assert_allclose(float(got), (0.5 + 0.9) / 2, rtol=1e-5)
    np.testing.assert_allclose(float(HSCLoss()(z[:, None], guess)), 0.7, rtol=1e-5)


def test_robust_loss_is_parabola_within_and_line_outside_gamma():
    z = np.array([[1.0]], "float32")
    loss = RobustLoss(gamma=0.1)
    small, large = z + 2 * 0.001, z + 2 * 10.0
    np.testing.assert_allclose(float(loss(z, small)), 0.5e-4, rtol=1e-2)
    np.testing.assert_allclose(float(loss(z, large)), 100.005 - 1, rtol=1e-4)


@pytest.mark.parametrize("kind", [HSCLoss, RobustLoss])
def test_losses_are_restored_with_their_gamma(kind):
    config = keras.losses.serialize(kind(gamma=0.07))
    loss = keras.losses.deserialize(config)
    assert type(loss) is kind and loss.gamma == 0.07
    with pytest.raises(ValueError, match="gamma"):
        kind(gamma=0.0)


@pytest.mark.parametrize("loss", [HSCLoss(), RobustLoss()], ids=lambda x: x.name)
def test_irls_weights_are_the_slope_of_the_loss_over_the_error(loss):
    random = np.random.default_rng(0)
    true, pred = random.uniform(0.1, 2, 40), random.uniform(0.1, 2, 40)
    step = 1e-6
    square = loss.gamma**2  # the slope by differences of the formulas in the docstrings

    def value(z):
        scaled = ((z - true) / (1 + true)) ** 2 / square
        return (
            scaled / (1 + scaled)
            if loss.name == "hsc_loss"
            else np.sqrt(1 + scaled) - 1
        )

    slope = (value(pred + step) - value(pred - step)) / (2 * step)
    ratio = loss.irls_weights(true[:, None], pred[:, None]) * (pred - true) / slope
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)

"""Solves for the last layer of a network instead of training it."""

from typing import TYPE_CHECKING

import keras

from kphotoz.kernels import ConjugateKernel
from kphotoz.kernels.head import last_linear
from kphotoz.tasks import RedshiftTask
from kphotoz.training import loop
from kphotoz.training.settings import Training

if TYPE_CHECKING:
    from kphotoz import data

__all__ = ["refit"]


def refit(
    model: keras.Model, sample: "data.Sample", task: RedshiftTask, settings: Training
) -> keras.Model:
    """Returns a copy of a model whose last layer minimises the loss of a sample.

    One pass over the sample, no gradients. A ridge, chosen by leaving out one row at a
    time, pulls the layer towards what it was; the training loss never rises.

    Args:
        model: keras.Model of plain layers that ends in a linear Dense layer.
        sample: Sample. What is learned from.
        task: RedshiftTask.
        settings: Training. Its loss and the range of labels count.

    Raises:
        InputError: a model that ends in something else.
    """
    kernel = ConjugateKernel(model, around="network")
    below = keras.Model(model.input, last_linear(model).input)
    return kernel.fit_features(
        loop.outputs(below, sample),
        loop.clamped_labels(sample, task, settings),
        ridge="left_out",
        reweight=task.loss(settings.loss).irls_weights,
    ).refit()

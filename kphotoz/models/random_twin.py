"""The same network, never trained."""

import keras

from kphotoz.errors import InputError
from kphotoz.models.seeding import seeded

__all__ = ["random_twin"]


def random_twin(model: keras.Model, seed: int) -> keras.Model:
    """Returns a model of the same layers with random weights.

    What the layers were told, such as the stretch of images, stays; what they learned,
    statistics of normalisations included, does not.

    Args:
        model: keras.Model. A graph, Functional or Sequential.
        seed: int. Equal seeds give equal weights.

    Raises:
        InputError: Keras cannot copy the model.
    """
    with seeded(seed):
        try:
            return keras.models.clone_model(model)
        except (TypeError, ValueError) as error:
            raise InputError(
                "Wanted: a Functional or Sequential model of layers with get_config. "
                f"Received: {type(model).__name__} {model.name!r} ({error})."
            ) from error

"""Objects as rows of numbers, in four ways of which one was trained."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kphotoz import features
from kphotoz.kernels.features import Features
from kphotoz.models import random_twin

__all__ = ["VIEWS", "Views"]

# A difference that only trained features show is another statement than one that
# anything shows: the others are baselines.
VIEWS = ("trained", "random weights", "hand-made", "random features")
_RANDOM = 128  # random features; our choice


class Views:
    """Four views of objects, fixed by the source.

    `trained` are the outputs of a layer, `random weights` those of the same network
    never trained, `hand-made` magnitudes, colours and the like, `random features`
    ``max(0, A x + b)`` of the hand-made ones with Gaussian A and b.

    Args:
        model: keras.Model of images (n, height, width, band) or photometry (n, band,
            2). A graph without adapters.
        source: float array of such inputs.
        bands: sequence of str. Band order of the inputs.
        layer: str or None. Whose outputs. [default: what the last layer reads]
        seed: int. Of what is random.

    Raises:
        InputError: no such layer, or a model whose layers cannot be read.
    """

    def __init__(
        self,
        model: keras.Model,
        source: np.ndarray,
        bands: Sequence[str],
        layer: str | None = None,
        seed: int = 0,
    ) -> None:
        twin = random_twin(model, seed)
        self._networks = {
            "trained": Features(model, layer),
            "random weights": Features(twin, layer),
        }
        self._is_image = np.ndim(source) == 4
        if self._is_image:
            self._settings: tuple[Any, ...] = (features.noise_sigma(source),)
            self.names = features.feature_names(bands)
        else:
            softening = features.flux_softening(source)
            fill = features.fill_magnitudes(source, softening)
            self._settings = (softening, fill)
            self.names = features.catalog_feature_names(bands)
        every, some = len(self.names), features.count_object_features(bands)
        self._physical = every if self._is_image else some
        table = self.hand_made(source)
        self._centre, scale = table.mean(axis=0), table.std(axis=0)
        self._scale = np.where(scale > 0, scale, 1.0)
        generator = np.random.default_rng(seed)
        self._mixing = generator.normal(size=(table.shape[1], _RANDOM))
        self._offset = generator.normal(size=_RANDOM) * np.sqrt(table.shape[1])

    def __call__(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns float64 arrays (n, feature) by the name of their view.

        Args:
            inputs: float array (n, ...), as the model takes them.
        """
        table = self.hand_made(inputs)
        mixed = (table - self._centre) / self._scale @ self._mixing + self._offset
        tables = {name: self.network(name, inputs) for name in self._networks}
        tables |= {"hand-made": table, "random features": np.maximum(mixed, 0.0)}
        return {name: tables[name] for name in VIEWS}

    def network(self, name: str, inputs: np.ndarray) -> np.ndarray:
        """Returns the features (n, feature) of "trained" or "random weights"."""
        network = self._networks[name]
        if not len(inputs):
            return np.zeros((0, network.width))
        return np.concatenate(list(network.blocks(inputs)))

    def hand_made(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the hand-made features (n, feature), named by `names`."""
        make = (
            features.aperture_photometry
            if self._is_image
            else features.catalog_photometry
        )
        return make(inputs, *self._settings).astype(np.float64)

    def physical(self, view: str, table: np.ndarray) -> np.ndarray:
        """Returns the features of a view that are not about errors or masks."""
        return table[:, : self._physical] if view == "hand-made" else table

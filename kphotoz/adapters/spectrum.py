"""How many directions an adapter uses."""

import keras
import numpy as np

from kphotoz.adapters.inventory import Adapter, adapters_of
from kphotoz.adapters.matrices import matrices_of
from kphotoz.errors import InputError

__all__ = ["effective_rank"]


def effective_rank(model: keras.Model) -> dict[str, float]:
    """Returns the effective rank of every update of an adapted model, by path.

    It is the exponential of the entropy of the singular values of ``A @ B`` divided by
    their sum: 1 when one direction does everything, the adapter's rank when all do
    equally much, and 0 for an update that is zero. A value far below the rank says that
    a lower rank would do. Of PiSSA it is the rank of what was learned, the start taken
    off; of DoRA that of the product, before columns are rescaled. The update itself is
    never formed: the singular values are those of a matrix of rank × rank.

    Args:
        model: model made by `apply` or `load`, or with LoRA layers.

    Raises:
        InputError: the model has no adapters.

    Source: Roy & Vetterli 2007, "The effective rank", EUSIPCO, definition 1.
    """
    adapted = adapters_of(model)
    if not adapted:
        raise InputError(
            f"Wanted: a model with adapters. Received: {model.name!r}, which has none. "
            "Make one with adapters.apply."
        )
    return {adapter.path: _effective_rank(adapter) for adapter in adapted}


def _effective_rank(adapter: Adapter) -> float:
    factors = matrices_of(adapter)
    assert factors.a is not None  # those of an adapter are all there
    # asarray changes nothing: numpy's hints tell of a pair, whatever the mode.
    thin_a = np.asarray(np.linalg.qr(factors.a.astype("float64"), mode="r"))
    thin_b = np.asarray(np.linalg.qr(factors.b.T.astype("float64"), mode="r"))
    values = np.linalg.svd(thin_a @ thin_b.T, compute_uv=False)
    if not values.any():
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))

"""The arguments of LoRA layers: what is accepted, and what follows from them."""

import math
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

FORMULATIONS = ("kernel", "factored", "two_branches")
Start = Literal["zero", "pissa"]
STARTS: tuple[Start, ...] = ("zero", "pissa")
# A thin operation costs as much as one of this many channels: it uses matrix units
# badly. Measured with benchmarks/lora_step.py on a 2-core CPU, bfloat16 and float32.
_THIN = 32
# Multiplications in the time of the further passes over an entry of the inputs and over
# one of the outputs. Measured on products of 192 by 192 to 768 in a step of TensorFlow
# on 2 cores with AMX; see docs/results/lora_step.md.
_PASS = {"float32": (128, 128), "bfloat16": (128, 768)}


@keras.saving.register_keras_serializable(package="kphotoz")
class FactorUniform(keras.initializers.Initializer):
    """Uniform initializer of `A` with bound 1 / sqrt(fan_in).

    Drawn with numpy, so that one seed gives equal factors on every backend.

    Args:
        seed: int or None, which draws a new one.

    Source: the start of LoRA in PEFT, Kaiming uniform with a = sqrt(5).
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape, dtype=None):
        """Returns the initial values of a factor (..., rank)."""
        bound = 1 / math.sqrt(math.prod(shape[:-1]))
        values = np.random.default_rng(self.seed).uniform(-bound, bound, shape)
        return ops.convert_to_tensor(values, dtype=dtype or "float32")

    def get_config(self) -> dict:
        return {"seed": self.seed}


def check_rank(rank: Any, limit: int | None = None, shape: Any = None) -> int:
    """Returns `rank` as an int after checking 1 <= rank <= limit.

    Raises:
        ValueError: with what was wanted and what was received.
    """
    upper = "" if limit is None else f" <= {limit} for a {tuple(shape)} kernel"
    good = hasattr(rank, "__index__") and not isinstance(rank, bool)
    if not good or rank < 1 or (limit is not None and rank > limit):
        raise ValueError(f"Wanted: an int with 1 <= rank{upper}. Received: {rank!r}.")
    return int(rank)


def check_alpha(alpha: Any, rank: int) -> float:
    """Returns `alpha` as a float, `rank` where it is None.

    Raises:
        ValueError: it is not a finite positive number.
    """
    if alpha is None:
        return float(rank)
    good = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not good or not 0 < alpha < math.inf:
        raise ValueError(f"Wanted: a number with alpha > 0. Received: {alpha!r}.")
    return float(alpha)


def check_dropout(dropout: Any) -> float:
    """Returns `dropout` as a float.

    Raises:
        ValueError: it does not lie in [0, 1).
    """
    good = isinstance(dropout, int | float) and not isinstance(dropout, bool)
    if not good or not 0 <= dropout < 1:
        raise ValueError(f"Wanted: 0 <= dropout < 1. Received: {dropout!r}.")
    return float(dropout)


def check_formulation(formulation: str | None, dropout: float) -> str | None:
    if formulation is not None and formulation not in FORMULATIONS:
        raise ValueError(f"Wanted: one of {FORMULATIONS}. Received: {formulation!r}.")
    if formulation not in (None, "two_branches") and dropout:
        raise ValueError(
            f"Wanted: formulation='two_branches' with dropout > 0. Received: "
            f"{formulation!r} with {dropout=}. Only two branches have one to drop from."
        )
    return formulation


def cheapest_convolution(inputs: int, outputs: int, width: int) -> str:
    """Returns the formulation whose backward pass costs less, by multiplications.

    "kernel" forms the gradient of the kernel, inputs × outputs at each place;
    "factored" a thin operation and its gradient, 2 × inputs × width, and two products
    with B, 2 × width × outputs. A width below 32 costs as much as 32.

    Args:
        inputs, outputs: int. Of the kernel as a matrix.
        width: int. Rank, times the groups.
    """
    width = max(width, _THIN)
    thin = 2 * width * (inputs + outputs)
    return "factored" if thin < inputs * outputs else "kernel"


def cheapest_product(inputs: int, outputs: int, rank: int, dtype: str) -> str:
    """Returns the formulation of a matrix product whose backward pass costs less.

    "kernel" forms the gradient of the kernel, inputs × outputs multiplications at each
    place. "factored" saves them, and passes over the inputs and outputs of the layer
    once more, which costs about as much as `_PASS` multiplications an entry; much more
    of them in bfloat16, where matrix units make multiplications nearly free.

    Args:
        inputs, outputs: int. Of the kernel as a matrix.
        rank: int.
        dtype: str. In which the layer computes.
    """
    passes = _PASS.get(dtype, _PASS["bfloat16"])
    of_inputs, of_outputs = (max(each, 2 * rank) for each in passes)
    thin = of_inputs * inputs + of_outputs * outputs
    return "factored" if thin < inputs * outputs else "kernel"


def principal_factors(matrix: np.ndarray, rank: int, scale: float) -> tuple:
    """Returns A and B with ``scale * A @ B`` the best approximation of their rank.

    Args:
        matrix: (inputs, outputs) float64.
        rank: int.
        scale: float > 0.

    Returns:
        (inputs, rank) and (rank, outputs); each has the roots of the singular values.
        Rows and columns beyond the rank that the matrix can have are zero.
    """
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(s[:rank] / scale)
    missing = rank - len(root)
    a = np.pad(u[:, :rank] * root, ((0, 0), (0, missing)))
    return a, np.pad(root[:, None] * v[:rank], ((0, missing), (0, 0)))

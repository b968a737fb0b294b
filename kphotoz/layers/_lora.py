"""What every LoRA layer shares: its factors, its checks, and how they are stored.

A LoRA layer is its Keras parent with the kernel frozen by `add_weight`, which no
`trainable` toggle undoes, and two factors stored apart from it. The effective kernel is
``K + alpha / rank * A @ B``, where `A` is ``kernel.shape[:-1] + (rank,)`` and `B` is
``(rank, outputs)``.

Everything is stored in float32. The sum is made in float32 and then rounded once to the
compute dtype, as full fine-tuning in mixed precision does with its float32 weights.
Under `mixed_bfloat16` an update smaller than the spacing of bfloat16 around `K` (about
5e-4 at 0.1) is therefore lost in the forward pass, though not in the gradients nor in
what is stored; give the layer ``dtype="float32"`` where that matters.

Source: Hu et al. 2021, arXiv 2106.09685, section 4.1.
"""

import json
import math
from typing import Any

import keras
import numpy as np
from keras import ops

FORMULATIONS = ("kernel", "two_branches")


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


def _check_formulation(formulation: str | None, dropout: float) -> str:
    if formulation is None:
        return "two_branches" if dropout else "kernel"
    if formulation not in FORMULATIONS:
        raise ValueError(f"Wanted: one of {FORMULATIONS}. Received: {formulation!r}.")
    if formulation == "kernel" and dropout:
        raise ValueError(
            f"Wanted: formulation='two_branches' with dropout > 0. Received: "
            f"'kernel' with {dropout=}. Kernel space has no branch to drop from."
        )
    return formulation


class LoRAMixin:
    """Factors, checks and storage of a LoRA layer; comes before its Keras parent."""

    def _configure(
        self,
        rank: int,
        alpha: float | None,
        dropout: float,
        a_initializer: Any,
        train_bias: bool,
        formulation: str | None,
        allow_full_rank: bool,
        origin: dict | None,
        seed: int | None,
    ) -> None:
        """Checks and keeps the arguments; call it after Keras' constructor."""
        if self.kernel_constraint is not None:
            raise ValueError(
                "Wanted: no kernel_constraint. Received: "
                f"{self.kernel_constraint!r}. A frozen kernel cannot be constrained."
            )
        # BaseConv calls its number of spatial axes `rank`.
        self.adapter_rank = check_rank(rank)
        self.alpha = check_alpha(alpha, self.adapter_rank)
        self.dropout = check_dropout(dropout)
        self.formulation = _check_formulation(formulation, self.dropout)
        if a_initializer is None:
            a_initializer = FactorUniform(seed)
        self.a_initializer = keras.initializers.get(a_initializer)
        self.train_bias = bool(train_bias)
        self.allow_full_rank = bool(allow_full_rank)
        self.origin = origin
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if self.dropout else None

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.adapter_rank

    def add_weight(self, *args: Any, name: str | None = None, **kwargs: Any):
        """Adds a weight as Keras does, with the kernel frozen and never rounded."""
        if name == "kernel":
            kwargs.update(trainable=False, autocast=False, regularizer=None)
        if name == "bias":
            kwargs.update(trainable=self.train_bias)
        variable = super().add_weight(*args, name=name, **kwargs)
        if name == "kernel":
            self.base_kernel = variable
        return variable

    def build(self, input_shape):
        super().build(input_shape)
        shape = self.base_kernel.shape
        inputs, outputs = math.prod(shape[:-1]), shape[-1]
        limit = (max if self.allow_full_rank else min)(inputs, outputs)
        rank = check_rank(self.adapter_rank, limit, shape)
        common = {"dtype": "float32", "autocast": False}
        self.lora_a = self.add_weight(
            name="lora_a",
            shape=(*shape[:-1], rank),
            initializer=self.a_initializer,
            **common,
        )
        self.lora_b = self.add_weight(
            name="lora_b", shape=(rank, outputs), initializer="zeros", **common
        )

    def update(self):
        """Returns ``alpha / rank * A @ B`` in float32, of the kernel's shape."""
        thin = ops.reshape(self.lora_a, (-1, self.adapter_rank))
        return self.scale * ops.reshape(
            ops.matmul(thin, self.lora_b), self.base_kernel.shape
        )

    @property
    def kernel(self):
        """The effective kernel, summed in float32, in the compute dtype."""
        return ops.cast(ops.add(self.base_kernel, self.update()), self.compute_dtype)

    def _branches(self, training: bool | None) -> bool:
        # Without dropout both forms are equal, and one convolution is cheaper.
        on_request = self.formulation == "two_branches" and not self.dropout
        return on_request or bool(self.dropout and training)

    def _regularize(self) -> None:
        if self.kernel_regularizer is not None:
            self.add_loss(self.kernel_regularizer(self.update()))

    def _drop(self, inputs, training: bool | None):
        if self.dropout and training:
            return keras.random.dropout(inputs, self.dropout, seed=self.seed_generator)
        return inputs

    def _own(self) -> dict[str, keras.Variable]:
        own = {"kernel": self.base_kernel, "lora_a": self.lora_a, "lora_b": self.lora_b}
        return own if self.bias is None else own | {"bias": self.bias}

    def save_own_variables(self, store):
        """Stores kernel, bias and factors apart, none of them rounded or merged."""
        if self.built:
            for name, variable in self._own().items():
                store[name] = variable

    def load_own_variables(self, store):
        """Loads what `save_own_variables` stored.

        Raises:
            ValueError: the store holds other entries, for example a plain layer's.
        """
        if not self.built:
            return
        own = self._own()
        if sorted(store.keys()) != sorted(own):
            raise ValueError(
                f"Wanted: {sorted(own)} for layer {self.name!r}. Received: "
                f"{sorted(store.keys())}. Load plain weights into the base model, "
                "then adapt it."
            )
        for name, variable in own.items():
            variable.assign(store[name])

    def enable_lora(self, *args: Any, **kwargs: Any) -> None:
        """Refuses Keras' own LoRA.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{type(self).__name__} already has factors. Keras' `enable_lora` would "
            "add a second pair, merged into the kernel and zeroed on saving. Set "
            "`rank` and `alpha` in the constructor."
        )

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses quantization.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{type(self).__name__} cannot be quantized: its factors train in float32. "
            "Merge the adapter with `kphotoz.adapters.merge`, then quantize the result."
        )

    def get_config(self) -> dict:
        config = super().get_config()
        for name in ("quantization_config", "lora_rank", "lora_alpha"):
            config.pop(name, None)
        return config | {
            "rank": self.adapter_rank,
            "alpha": self.alpha,
            "dropout": self.dropout,
            "a_initializer": keras.initializers.serialize(self.a_initializer),
            "train_bias": self.train_bias,
            "formulation": self.formulation,
            "allow_full_rank": self.allow_full_rank,
            "origin": json.loads(json.dumps(self.origin)),
            "seed": self.seed,
        }

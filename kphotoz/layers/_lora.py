"""What every LoRA layer shares: its factors, its checks, and how they are stored.

A LoRA layer is its Keras parent with the kernel frozen by `add_weight`, which no
`trainable` toggle undoes, and two factors stored apart from it. The effective kernel is
``K + alpha / rank * A @ B``, both read as matrices of inputs by outputs: of a
convolution the inputs are its window and the channels of a group, of an einsum the
contracted axes.

Three formulations give the same outputs and gradients:

* "kernel": one operation with the summed kernel. Its backward pass forms the gradient
  of the whole kernel, and from that those of the factors.
* "factored": the same forward pass; the gradients of the factors come from a thin
  operation with `A`, `rank` channels wide, and that of the kernel is never formed.
* "two_branches": the frozen operation plus the thin one followed by `B`. The only one
  with a branch that dropout can act on.

Everything is stored in float32. The sum is made in float32 and then rounded once to the
compute dtype, as full fine-tuning in mixed precision does with its float32 weights.
Under `mixed_bfloat16` an update smaller than the spacing of bfloat16 around `K` (about
5e-4 at 0.1) is therefore lost in the forward pass, though not in the gradients nor in
what is stored; give the layer ``dtype="float32"`` where that matters.
"""

import json
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kphotoz.layers._forms import form_of_kernel
from kphotoz.layers._lora_arguments import (
    STARTS,
    FactorUniform,
    Start,
    cheapest_product,
    check_alpha,
    check_dropout,
    check_formulation,
    check_rank,
)
from kphotoz.layers._low_rank import LowRank


class LoRAMixin(LowRank):
    """Factors, checks and storage of a LoRA layer; comes before its Keras parent.

    A layer says how it applies a kernel without bias and activation (`_apply`), the
    thin operation with A (`_thin`), the product with B (`_wide`), and one factor or
    addend for each output (`_times`, `_laid_out`).
    """

    def __init__(
        self,
        *args: Any,
        rank: int = 4,
        alpha: float | None = None,
        dropout: float = 0.0,
        a_initializer: Any = None,
        train_bias: bool = False,
        formulation: str | None = None,
        allow_full_rank: bool = False,
        dora: bool = False,
        start: Start = "zero",
        origin: dict | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.kernel_constraint is not None:
            raise ValueError(
                "Wanted: no kernel_constraint. Received: "
                f"{self.kernel_constraint!r}. A frozen kernel cannot be constrained."
            )
        if self.quantization_mode is not None:
            raise ValueError(
                f"Wanted: a dtype policy of floating-point numbers. Received: "
                f"{self.dtype_policy.name!r}. Factors cannot train beside a quantized "
                "kernel: merge the adapter, then quantize the result."
            )
        # BaseConv calls its number of spatial axes `rank`.
        self.adapter_rank = check_rank(rank)
        self.alpha = check_alpha(alpha, self.adapter_rank)
        self.dropout = check_dropout(dropout)
        self.formulation = check_formulation(formulation, self.dropout)
        if start not in STARTS:
            raise ValueError(f"Wanted: start one of {STARTS}. Received: {start!r}.")
        self.start = start
        self.dora = bool(dora)
        if a_initializer is None:
            a_initializer = FactorUniform(seed)
        self.a_initializer = keras.initializers.get(a_initializer)
        self.train_bias = bool(train_bias)
        self.allow_full_rank = bool(allow_full_rank)
        self.origin = origin
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if self.dropout else None
        # Returns scale and shift, (outputs,), of a normalisation folded into the layer.
        self.affine: Callable[[], tuple] | None = None

    @property
    def form(self):
        """How the kernel is read as a matrix."""
        return form_of_kernel(self, tuple(self.base_kernel.shape))

    def add_weight(
        self, *args: Any, name: str | None = None, **kwargs: Any
    ) -> keras.Variable:
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
        form = self.form
        if form is None:
            raise ValueError(
                "Wanted: an equation whose kernel axes are either contracted or kept. "
                f"Received: {self.equation!r}."
            )
        inputs, outputs = form.matrix
        limit = (max if self.allow_full_rank else min)(inputs, outputs)
        self.adapter_rank = check_rank(self.adapter_rank, limit, form.shape)
        self.build_factors(self.a_initializer)

    @property
    def base_weights(self) -> list:
        """The frozen kernel, and the bias where it is frozen too."""
        frozen = self.bias is not None and not self.train_bias
        return [self.base_kernel, self.bias] if frozen else [self.base_kernel]

    @property
    def kernel(self):
        """The effective kernel, summed in float32, in the compute dtype."""
        return ops.cast(ops.add(self.base_kernel, self.update()), self.compute_dtype)

    def call(self, inputs, training=None):
        self._regularize()
        return self.finished(self._linear(inputs, training))

    def _linear(self, inputs: Any, training: bool | None) -> Any:
        chosen = self.chosen(training)
        if chosen == "kernel":
            summed = ops.add(self.base_kernel, self.update())
            summed = self._cast(self._folded(summed))
            return (self._step if training else self._apply)(inputs, summed)
        added = self.added()
        if chosen == "factored":
            return self.factored(inputs, self.base_kernel, added)
        kernel = self.base_kernel
        if self.start == "pissa":
            start = self.form.lay_out(self.scale * self.start_product())
            kernel = ops.subtract(kernel, start)
        thin = self._thin(self._drop(inputs, training), self._cast(self.lora_a))
        wide = self._wide(thin, self._cast(self.lora_b))
        outputs = self._apply(inputs, self._cast(kernel)) + self.scale * wide
        if self.affine is not None:
            outputs = self._times(outputs, self._cast(self.affine()[0]))
        return self._rescaled(outputs, self.base_kernel, added)

    def _step(self, inputs, kernel):
        """Returns what `_apply` does, by the fastest operations for a training step."""
        return self._apply(inputs, kernel)

    def applied(self, inputs, kernel):
        """Returns the outputs of a training step without bias and activation.

        Args:
            inputs: tensor.
            kernel: the effective kernel, in any dtype.
        """
        return self._step(inputs, self._cast(kernel))

    def factored(self, inputs, kernel, added):
        """Returns the outputs without bias and activation; never forms dK.

        Args:
            inputs: tensor.
            kernel: the frozen kernel.
            added: what `added` returns.
        """
        summed = ops.stop_gradient(self._folded(ops.add(kernel, added)))
        outputs = self._step(inputs, self._cast(summed))
        thin = self._thin(ops.stop_gradient(inputs), self._cast(self.lora_a))
        b = self._cast(self._folded(self.lora_b))
        wide = self.scale * self._wide(thin, b)
        # Adds zero, with the gradients of A and B.
        outputs = outputs + (wide - ops.stop_gradient(wide))
        return self._rescaled(outputs, kernel, added)

    def finished(self, outputs):
        """Returns the outputs with bias and activation."""
        bias = self.bias
        if self.affine is not None:
            scale, bias = self.affine()
            bias = bias if self.bias is None else self.bias * scale + bias
            bias = self._cast(bias)
        if bias is not None:
            fixed = self.bias is None or not self.bias.trainable
            if fixed and getattr(self.activation, "adds_bias", False):
                return self.activation(outputs, self._cast(self._laid_out(bias)))
            outputs = ops.add(outputs, self._laid_out(bias))
        return outputs if self.activation is None else self.activation(outputs)

    def _folded(self, kernel):
        # Kernels and B alike end in the axis of the outputs.
        return kernel if self.affine is None else kernel * self.affine()[0]

    def _rescaled(self, outputs, kernel, added):
        if not self.dora:
            return outputs
        return self._times(outputs, self._cast(self.ratio(kernel, added)))

    def chosen(self, training: bool | None) -> str:
        """Returns the formulation of a call, see the head of this file."""
        if self.dropout:
            return "two_branches" if training else "kernel"
        if self.formulation == "two_branches" or not training:
            # Without training there is no backward pass to save.
            return self.formulation if self.formulation == "two_branches" else "kernel"
        if self.formulation is not None:
            return self.formulation
        return self._cheapest(*self.form.matrix)

    def _cheapest(self, inputs: int, outputs: int) -> str:
        rank, dtype = self.adapter_rank, self.compute_dtype
        return cheapest_product(inputs, outputs, rank, dtype)

    def _cast(self, value):
        return ops.cast(value, self.compute_dtype)

    def _regularize(self) -> None:
        # Of weights, so once a pass however often a shared layer is called in it.
        if self.kernel_regularizer is not None and not self._get_own_losses():
            self.add_loss(self.kernel_regularizer(self.update()))

    def _drop(self, inputs: Any, training: bool | None) -> Any:
        if self.dropout and training:
            return keras.random.dropout(inputs, self.dropout, seed=self.seed_generator)
        return inputs

    def own_variables(self) -> dict[str, keras.Variable]:
        """Returns what the layer stores, by name: kernel, bias and all factors."""
        own = {"kernel": self.base_kernel, **self.adapter_variables()}
        return own if self.bias is None else own | {"bias": self.bias}

    def save_own_variables(self, store):
        """Stores kernel, bias and factors apart, none of them rounded or merged."""
        if self.built:
            for name, variable in self.own_variables().items():
                store[name] = variable

    def load_own_variables(self, store):
        """Loads what `save_own_variables` stored.

        Raises:
            ValueError: the store holds other entries, for example a plain layer's.
        """
        if not self.built:
            return
        own = self.own_variables()
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
            "dora": self.dora,
            "start": self.start,
            "origin": json.loads(json.dumps(self.origin)),
            "seed": self.seed,
        }

"""The factored backward pass for layers that cannot be exchanged for LoRA layers."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from kphotoz.adapters.swap import LORA, lora_twin
from kphotoz.layers._low_rank import LowRank

__all__ = ["ThinCalls"]


class ThinCalls:
    """Calls of base layers, replaced while an adapted model trains.

    A LoRA twin of the layer, which owns nothing, does the arithmetic with the layer's
    kernel and bias and with the factors of the adapted model. At any other time the
    layer's own call runs.
    """

    def __init__(self) -> None:
        self._factors: dict[int, LowRank | None] = {}
        self._now: dict[int, tuple] = {}

    def install(self, layer: keras.Layer, entry: dict, factors: LowRank) -> None:
        """Puts a call into a layer where the factored form is wanted.

        Args:
            layer: layer of the base; only Keras' own classes, whose call is known.
            entry: dict with rank, alpha, seed, dora, start and formulation.
            factors: the factors of its kernel.
        """
        if type(layer) not in LORA:
            return
        twin = lora_twin(layer, entry, train_bias=True)
        twin.base_kernel, twin.bias = layer.kernel, layer.bias
        for name, variable in factors.adapter_variables().items():
            setattr(twin, name, variable)
        factored = twin.chosen(training=True) == "factored"
        own, now = layer.call, self._now
        self._factors[id(layer)] = factors if factored else None

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if id(layer) not in now:
                return own(inputs, *args, **kwargs)
            twin.activation = layer.activation
            if factored:
                return twin.finished(twin.factored(inputs, *now[id(layer)]))
            return twin.finished(twin.applied(inputs, layer.kernel))

        layer.call = call

    @contextlib.contextmanager
    def active(self, training: bool | None) -> Iterator[None]:
        """Within it the replaced calls run, if the model trains."""
        if training:
            for key, factors in self._factors.items():
                if factors is None:
                    self._now[key] = ()
                    continue
                # Read now: `convert_to_tensor` of a Variable is that Variable on
                # TensorFlow, which within the scope already has the update.
                kernel = ops.stop_gradient(factors.base_kernel)
                self._now[key] = (kernel, factors.added())
        try:
            yield
        finally:
            self._now.clear()

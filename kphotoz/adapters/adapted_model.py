"""Adapters for models that cannot be rebuilt layer by layer."""

import json
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kphotoz.adapters import paths
from kphotoz.adapters.adapted_part import LayerOfAdapted
from kphotoz.adapters.copies import describe
from kphotoz.adapters.freezing import Freezing
from kphotoz.adapters.thin_calls import ThinCalls
from kphotoz.layers._forms import form_of
from kphotoz.layers._frozen import refuse_quantization
from kphotoz.layers._lora_arguments import FactorUniform
from kphotoz.layers._low_rank import LowRank

__all__ = ["AdaptedModel", "Factors"]


@keras.saving.register_keras_serializable(package="kphotoz")
class Factors(LowRank, keras.layers.Layer):
    """The factors of one kernel of another layer, in float32.

    Args:
        layer: built layer of the base; it stays the owner of its kernel.
        entry: dict with rank, alpha, start, dora and seed.
        initializer: of A; B starts at zero.
    """

    def __init__(
        self, layer: keras.Layer, entry: dict, initializer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        self.adapter_rank, self.alpha = entry["rank"], entry["alpha"]
        self.start, self.dora = entry["start"], entry["dora"]
        self.form = form_of(layer)
        # A function, because Keras would store an attribute with these factors.
        self._kernel_of_base = lambda: layer.kernel
        self.build_factors(initializer or FactorUniform(entry["seed"]))
        self.built = True

    @property
    def base_kernel(self):
        """The frozen kernel."""
        return self._kernel_of_base()


@keras.saving.register_keras_serializable(package="kphotoz")
class AdaptedModel(keras.Model):
    """Any model with ``K + alpha / rank * A @ B`` in place of chosen kernels.

    The model owns a copy of the base and the factors. A call runs the copy statelessly
    with the updated kernels, and writes back what the call changed of seeds, states and
    what may move (statistics of batch normalisation by its policy, layers trained in
    full). What is frozen stays so, whatever `trainable` is set to, whatever a layer
    writes to its own weights, and after a reload, because the specification is applied
    again. In training, layers of
    Keras' own classes take the gradients of their factors from a thin operation where
    that is cheaper (`kphotoz.layers`); should anything else read such a kernel, its
    gradients are formed too.

    It computes its updates in float32; the layers of the base keep their own dtypes.

    Args:
        base: built model. It is owned from here on: `adapters.apply` hands in a copy.
        spec: dict of plain values, as `adapters.apply` makes it.
        initializers: {path: initializer of A} or None.
    """

    def __init__(
        self,
        base: keras.Model,
        spec: dict,
        initializers: dict | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs = {"name": f"adapted_{base.name}"} | kwargs | {"dtype": "float32"}
        super().__init__(**kwargs)
        self._spec_text = json.dumps(spec)
        self.base = base
        if "names" in spec:  # not in files of version 0.1
            paths.rename(base, spec["names"])
        layers = paths.walk(base)
        starts = initializers or {}
        self.factors = [
            Factors(layers[path], entry, starts.get(path), name=f"factors_{index}")
            for index, entry in enumerate(spec["entries"])
            for path in [entry["path"]]
        ]
        self._thin = ThinCalls()
        for entry, factors in zip(spec["entries"], self.factors, strict=True):
            layer = layers[entry["path"]]
            self._thin.install(layer, entry, factors)
            layer.quantize = self.quantize
        self._freezing = Freezing(base, spec)
        self._ends: Callable | None = None
        self.hold()
        self.built = True

    @property
    def spec(self) -> dict:
        """What was adapted, trained and frozen, as plain values."""
        return json.loads(self._spec_text)

    def hold(self) -> None:
        """Has every layer that is frozen run as such, whatever was set since."""
        self._freezing.set_flags(self.trainable)

    @property
    def input(self) -> Any:
        """Symbolic inputs, as those of the base; it has none if the base has none."""
        return self._symbolic()[0]

    @property
    def output(self) -> Any:
        """What the model gives out for `input`, symbolically."""
        return self._symbolic()[1]

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        """Flat list of `input`."""
        return keras.tree.flatten(self.input)

    @property
    def outputs(self) -> list[keras.KerasTensor]:
        """Flat list of `output`."""
        return keras.tree.flatten(self.output)

    def _symbolic(self) -> tuple:
        if self._ends is None:
            inputs = paths.inputs_like(self.base)
            ends = inputs, self(inputs)
            # A function, since Keras wraps the structures of an attribute.
            self._ends = lambda: ends
        return self._ends()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Returns a layer of the base; its `output` has the updates in it.

        So ``keras.Model(model.input, model.get_layer("pool").output)`` gives adapted
        features.

        Args:
            name: str. As in `keras.Model.get_layer`.
            index: int, likewise.
        """
        return LayerOfAdapted(self, self.base.get_layer(name, index))

    def call(self, inputs, training=None):
        return self.run(self.base, inputs, training)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the symbolic outputs: those of the base, which knows its layers."""
        if hasattr(self.base, "input"):
            return self.base.compute_output_spec(inputs)
        return super().compute_output_spec(inputs, training=training)

    def run(self, network: keras.Model, inputs: Any, training: bool | None) -> Any:
        """Returns what a network of the base's layers gives out, updates applied.

        Args:
            network: the base or a part of it.
            inputs: tensor or structure of tensors.
            training: as in `call`.
        """
        # Factors too: within its own scope the base would see their stored values.
        self.hold()
        states = self._freezing.states()
        read = [*self.base.variables, *states]
        read += [v for x in self.factors for v in x.adapter_variables().values()]
        values = {id(v): (v, ops.convert_to_tensor(v)) for v in read}
        penalties = []
        for factors in self.factors:
            kernel, update = factors.base_kernel, factors.update()
            values[id(kernel)] = (kernel, ops.add(kernel, update))
            if kernel.regularizer is not None:
                penalties.append(kernel.regularizer(update))
        scope = keras.StatelessScope(
            list(values.values()), collect_losses=True, initialize_variables=False
        )
        given = dict(scope.state_mapping)
        with self._thin.active(training), scope:
            outputs = network(inputs, training=training)
        # Dropped is what a layer writes to a weight that is frozen.
        moving = [v for v in self.base.variables if self._freezing.may_move(v)]
        for variable in (*moving, *states):
            new = scope.get_current_value(variable)
            if new is not given[id(variable)]:
                variable.assign(new)
        # Multiplied, because the layer that added a loss also claims that very tensor.
        for loss in [*penalties, *(ops.multiply(x, 1.0) for x in scope.losses)]:
            self.add_loss(loss)
        return outputs

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses quantization.

        Raises:
            ValueError: always.
        """
        refuse_quantization(self)

    def get_config(self) -> dict:
        return {
            "name": self.name,
            "base": describe(self.base),
            "spec": self.spec,
        }

    @classmethod
    def from_config(cls, config: dict) -> "AdaptedModel":
        base = keras.saving.deserialize_keras_object(config["base"])
        return cls(base, config["spec"], name=config["name"])

    def build_from_config(self, config: dict) -> None:
        """Does nothing: everything exists from the start."""

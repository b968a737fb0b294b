"""Adapters for models that cannot be rebuilt layer by layer."""

import json
from typing import Any

import keras
from keras import ops

from kphotoz.adapters import paths
from kphotoz.adapters.swap import copy_state
from kphotoz.adapters.thin_calls import ThinCalls
from kphotoz.errors import InputError
from kphotoz.layers._forms import form_of
from kphotoz.layers._lora_arguments import FactorUniform
from kphotoz.layers._low_rank import LowRank

__all__ = ["AdaptedModel", "Factors", "copy_any", "describe"]


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
    with the updated kernels, and writes back what the call changed (statistics of batch
    normalisation, seeds). What is frozen stays so whatever `trainable` is set to, and
    after a reload, because the specification is applied again. In training, layers of
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
        layers = paths.walk(base)
        starts = initializers or {}
        self.factors = [
            Factors(layers[path], entry, starts.get(path), name=f"factors_{index}")
            for index, entry in enumerate(spec["entries"])
            for path in [entry["path"]]
        ]
        self._thin = ThinCalls()
        for entry, factors in zip(spec["entries"], self.factors, strict=True):
            self._thin.install(layers[entry["path"]], entry, factors)
        self.built = True
        # Not by `self.trainable = True`: TensorFlow skips setting an equal value.
        self._freeze(True)

    @property
    def spec(self) -> dict:
        """What was adapted, trained and frozen, as plain values."""
        return json.loads(self._spec_text)

    @property
    def trainable(self) -> bool:
        """Whether the factors and the layers named in `train_also` train."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        self._freeze(bool(value))

    def _freeze(self, value: bool) -> None:
        spec, layers = self.spec, paths.walk(self.base)
        norm = keras.layers.BatchNormalization
        norms = [layer for layer in layers.values() if isinstance(layer, norm)]
        full = [layers[path] for path in spec["train_also"]]
        if spec["batch_norm"] == "train":
            full += norms
        for layer in norms:
            layer.trainable = value and spec["batch_norm"] != "freeze"
        for layer in full:
            layer.trainable = value
        allowed = {id(v) for layer in full for v in layer.trainable_weights}
        for variable in self.base.weights:
            variable.trainable = value and id(variable) in allowed

    def call(self, inputs, training=None):
        # Factors too: within its own scope the base would see their stored values.
        read = [*self.base.variables]
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
            outputs = self.base(inputs, training=training)
        for variable in self.base.variables:
            new = scope.get_current_value(variable)
            if new is not given[id(variable)]:
                variable.assign(new)
        # Multiplied, because the layer that added a loss also claims that very tensor.
        for loss in [*penalties, *(ops.multiply(x, 1.0) for x in scope.losses)]:
            self.add_loss(loss)
        return outputs

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


def describe(model: keras.Model) -> dict:
    """Returns what rebuilds a model, without how it was compiled.

    Some classes compile themselves and cannot say how.
    """
    config = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    return config


def copy_any(model: keras.Model) -> keras.Model:
    """Returns an uncompiled copy of a model of any class, with equal weights and seeds.

    Raises:
        InputError: its class does not give itself back from its own configuration.
    """
    old = {"": model, **paths.walk(model)}
    classes = {type(layer).__name__: type(layer) for layer in old.values()}
    with keras.saving.custom_object_scope(classes):
        copy = keras.saving.deserialize_keras_object(describe(model))
    new = {"": copy, **paths.walk(copy)}
    shapes = [tuple(v.shape) for v in model.variables]
    if [tuple(v.shape) for v in copy.variables] != shapes or len(new) != len(old):
        raise InputError(
            f"Wanted: a model that can be rebuilt from its configuration. Received: "
            f"{type(model).__name__}, whose copy has {len(copy.variables)} variables "
            f"instead of {len(shapes)}. Implement get_config and build on its classes."
        )
    for source, target in zip(old.values(), new.values(), strict=True):
        if not isinstance(source, keras.Model):
            copy_state(source, target)
    for source, target in zip(model.variables, copy.variables, strict=True):
        target.assign(paths.value(source))
    return copy

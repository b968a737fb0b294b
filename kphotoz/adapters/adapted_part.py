"""What a layer inside an adapted model gives out, for models built on it."""

from typing import Any

import keras

__all__ = ["AdaptedPart", "LayerOfAdapted"]


@keras.saving.register_keras_serializable(package="kphotoz")
class AdaptedPart(keras.Layer):
    """The output of one layer of an `AdaptedModel`, its updates applied.

    Args:
        model: the adapted model, with a base of which `get_layer(...).output` is known.
        layer: str. Name of a layer of its base.
    """

    def __init__(self, model: keras.Model, layer: str, **kwargs: Any) -> None:
        super().__init__(**{"name": f"{model.name}_{layer}"} | kwargs)
        self.model, self.layer = model, layer
        base = model.base
        part = keras.Model(base.input, base.get_layer(layer).output)
        # A function, because Keras would store an attribute with these layers.
        self._part = lambda: part
        self.built = True

    def call(self, inputs, training=None):
        return self.model.run(self._part(), inputs, training)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns the symbolic output of the layer."""
        return self._part().compute_output_spec(inputs)

    def get_config(self) -> dict:
        model = keras.saving.serialize_keras_object(self.model)
        return super().get_config() | {"model": model, "layer": self.layer}

    @classmethod
    def from_config(cls, config: dict) -> "AdaptedPart":
        model = keras.saving.deserialize_keras_object(config.pop("model"))
        return cls(model, **config)


class LayerOfAdapted:
    """A layer of an adapted model's base, whose `output` has the updates in it.

    Everything else is the layer's own. It cannot be called: by itself it would compute
    with its frozen kernel.
    """

    def __init__(self, model: keras.Model, layer: keras.Layer) -> None:
        vars(self).update(_model=model, _layer=layer)

    @property
    def output(self) -> Any:
        """What the layer gives out for `input` of the adapted model, symbolically."""
        return AdaptedPart(self._model, self._layer.name)(self._model.input)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)

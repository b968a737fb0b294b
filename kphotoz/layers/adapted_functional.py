"""Graph of layers with LoRA layers among them, in which the rest stays frozen."""

from typing import Any

import keras

from kphotoz.layers._frozen import hold, refuse_quantization

__all__ = ["AdaptedFunctional"]


@keras.saving.register_keras_serializable(package="kphotoz")
class AdaptedFunctional(keras.Model):
    """What `kphotoz.adapters.apply` makes of a Functional or Sequential model.

    It is a Functional model like any other, but no setting of `trainable`, of the
    model or of a layer, thaws a weight that was frozen when it was made, reloaded or
    cloned: `trainable = True` gives back what trained before, and no more. Made of a
    Sequential model it lists layers as that does, without the one of the input; it is
    none, because Keras clones any Sequential model as a plain one.

    Args:
        *args, **kwargs: the arguments of `keras.Model`: inputs, outputs, name.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sequential = hold(self).get("sequential", False)

    @property
    def layers(self) -> list[keras.Layer]:
        """The layers of the graph, in order."""
        hidden = keras.layers.InputLayer if getattr(self, "sequential", False) else ()
        return [layer for layer in super().layers if not isinstance(layer, hidden)]

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses quantization.

        Raises:
            ValueError: always.
        """
        refuse_quantization(self)

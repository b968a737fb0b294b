"""LoRA+: a higher learning rate for every B factor.

Source: Hayou et al. 2024, arXiv 2402.12354.
"""

import math
from typing import TYPE_CHECKING, Any

import keras

from kphotoz.errors import InputError

if TYPE_CHECKING:  # what it is mixed into; it is no optimizer by itself
    from keras.optimizers import Optimizer as _Optimizer
else:
    _Optimizer = object

__all__ = ["lora_plus", "lora_plus_class"]

_PREFIX = "LoRAPlus"
_KNOWN = (
    *("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta"),
    *("Lion", "Lamb"),
)


class _LoRAPlus(_Optimizer):
    """Multiplies the learning rate of B factors; comes before a Keras optimizer."""

    def __init__(self, *args: Any, ratio: float = 16.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ratio = _check_ratio(ratio)

    def build(self, variables: list) -> None:
        """Creates the slots of `variables` and notes which are B factors."""
        super().build(variables)
        # By index: on TensorFlow a step is given tf.Variables, which have other names.
        names = [variable.name for variable in variables]
        self._faster = tuple(i for i, name in enumerate(names) if name == "lora_b")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves one variable."""
        if self._get_variable_index(variable) in self._faster:
            learning_rate = learning_rate * self.ratio
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"ratio": self.ratio}


def lora_plus(
    optimizer: keras.optimizers.Optimizer, ratio: float = 16.0
) -> keras.optimizers.Optimizer:
    """Returns an optimizer of the same settings that moves B factors faster.

    Every variable named ``lora_b`` is updated with learning rate × ratio, all others
    with the learning rate, whatever its schedule. Decoupled weight decay keeps the
    learning rate without the ratio.

    A model compiled with the result saves and reloads if the class is one of SGD, Adam,
    AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Lion, Lamb; for a class of your
    own, call `lora_plus_class` where it is defined.

    Args:
        optimizer: one that has not taken a step. It stays untouched.
        ratio: float > 0. Learning rate of B over that of A. [default: 16, the value
            that the source recommends to start from]

    Raises:
        InputError: the ratio is not a positive number, the optimizer has taken a step,
            has a ratio already, or steps through other optimizers.

    Source: Hayou et al. 2024, arXiv 2402.12354, section 4.
    """
    _check_ratio(ratio)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise InputError(
            f"Wanted: a Keras optimizer. Received: {optimizer!r:.80}. Make one, for "
            "example keras.optimizers.AdamW(1e-4)."
        )
    if optimizer.built:
        raise InputError(
            "Wanted: an optimizer that is not built. Received: "
            f"{type(optimizer).__name__} after {int(optimizer.iterations)} steps, "
            "whose state would be lost. Make a new one."
        )
    new = lora_plus_class(type(optimizer)).from_config(
        optimizer.get_config() | {"ratio": ratio}
    )
    # What is excluded from weight decay has no public getter and is in no config.
    for name, value in vars(optimizer).items():
        if "exclude_from_weight_decay" in name:
            setattr(new, name, value)
    return new


def lora_plus_class(
    kind: type[keras.optimizers.Optimizer],
) -> type[keras.optimizers.Optimizer]:
    """Returns the subclass of an optimizer class that takes `ratio`, registered.

    The one class is returned for every call. Call it once where a class of your own is
    defined, so that a new process can load what was saved with it.

    Raises:
        InputError: the class has a ratio already, or no `update_step` of its own that
            takes a learning rate.
    """
    if issubclass(kind, _LoRAPlus):
        raise InputError(
            f"Wanted: an optimizer without a LoRA+ ratio. Received: {kind.__name__}. "
            "Give the optimizer it was made from."
        )
    if kind.update_step is keras.optimizers.Optimizer.update_step:
        raise InputError(
            "Wanted: an optimizer with update_step(gradient, variable, learning_rate). "
            f"Received: {kind.__name__}, which steps through others. Give lora_plus "
            "the inner optimizer."
        )
    return _CLASSES.get(kind) or _register(kind)


def _register(
    kind: type[keras.optimizers.Optimizer],
) -> type[keras.optimizers.Optimizer]:
    own = {"__doc__": f"{kind.__name__} with LoRA+.", "__module__": __name__}
    made = type(_PREFIX + kind.__name__, (_LoRAPlus, kind), own)
    _CLASSES[kind] = keras.saving.register_keras_serializable("kphotoz")(made)
    return _CLASSES[kind]


def _check_ratio(ratio: Any) -> float:
    good = isinstance(ratio, int | float) and not isinstance(ratio, bool)
    if not good or not 0 < ratio < math.inf:
        raise InputError(f"Wanted: a number with ratio > 0. Received: {ratio!r}.")
    return float(ratio)


_CLASSES: dict[type, type[keras.optimizers.Optimizer]] = {}
for _name in _KNOWN:
    _register(getattr(keras.optimizers, _name))

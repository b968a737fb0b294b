"""Functions of single tensors computed in one pass over memory.

TensorFlow runs an exact GELU as five operations and its gradient as eleven, each of
which reads and writes the whole tensor. XLA makes one loop of either. The rest of the
step stays with oneDNN: compiled by XLA as a whole, the small networks were slower on a
processor (`jit_compile` in `devices`); a transformer was not tried.
"""

from collections.abc import Callable
from typing import Any

from kphotoz.backend import devices

__all__ = ["in_one_pass", "joins_passes"]


def joins_passes() -> bool:
    """Returns whether `in_one_pass` does anything here: TensorFlow on one processor.

    JAX joins such passes itself, as TensorFlow does where the whole step is compiled.
    """
    return devices.name() == "tensorflow" and not devices.jit_compile() and _alone()


def _alone() -> bool:
    strategy = devices.tensorflow().distribute.get_strategy()
    return strategy.num_replicas_in_sync == 1 and not devices.gpus()


def in_one_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function` compiled by XLA on its own, with its gradient.

    Only the first argument has a gradient, which is formed from that argument alone:
    nothing else is kept for the backward pass. Equal to `function` up to rounding. For
    TensorFlow; each shape is compiled once.

    Args:
        function: of a tensor, and of further tensors that are constants of the backward
            pass.
    """
    tf = devices.tensorflow()
    forward = tf.function(function, jit_compile=True)

    @tf.function(jit_compile=True)
    def backward(change: Any, value: Any, *constants: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(value)
            result = function(value, *constants)
        return tape.gradient(result, value, change)

    def call(value: Any, *constants: Any) -> Any:
        constants = tuple(tf.convert_to_tensor(x) for x in constants)

        # Of activations only. A weight that goes through a custom gradient can be read
        # after its update in a compiled step.
        @tf.custom_gradient
        def run(value: Any) -> tuple:
            return forward(value, *constants), lambda dy: backward(
                dy, value, *constants
            )

        return run(value)

    return call

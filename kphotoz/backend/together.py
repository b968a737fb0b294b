"""What processes that train one model together tell each other, on JAX.

All of them must ask at the same time; where there is one process, nothing is sent.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from kphotoz.errors import InputError

__all__ = ["broadcast", "first_alone", "gather_predictions", "process"]

_PIECE = 2**28  # bytes sent at once; our choice, far below the 2^31 that JAX can count


def process() -> tuple[int, int]:
    """Returns the number of this process, from 0, and how many train together."""
    import keras

    if keras.distribution.distribution() is None:
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def broadcast(content: bytes) -> bytes:
    """Returns the content that the first process gave, in every process."""
    if process()[1] == 1:
        return content
    from jax.experimental.multihost_utils import broadcast_one_to_all as send

    sizes = np.array(divmod(len(content), _PIECE), np.int32)  # JAX's longest integers
    whole, rest = (int(number) for number in send(sizes))
    received = []
    for start in range(0, whole * _PIECE + rest, _PIECE):
        size = min(_PIECE, whole * _PIECE + rest - start)
        mine = content[start : start + size] if process()[0] == 0 else bytes(size)
        received.append(np.asarray(send(np.frombuffer(mine, np.uint8))).tobytes())
    return b"".join(received)


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Lets the first process do what follows before the others begin with it.

    Raises:
        InputError: in the other processes, with what any error of the first one says.
    """
    index, count = process()
    if count > 1 and index:
        message = broadcast(b"")
        if message:
            raise InputError(message.decode())
    try:
        yield
    except Exception as error:  # whatever it is, the others must not wait for ever
        if count > 1 and not index:
            broadcast((str(error) or type(error).__name__).encode())
        raise
    if count > 1 and not index:
        broadcast(b"")


def gather_predictions(model: Any) -> None:
    """Has `model.predict` return the predictions of all processes in each of them.

    Args:
        model: keras.Model.
    """
    if process()[1] == 1 or hasattr(model.predict_function, "gathers"):
        return
    model.make_predict_function()
    step = model.predict_function
    from jax.experimental import multihost_utils

    def gathered(state: Any, batches: Any) -> tuple:
        outputs, state = step(state, batches)
        return multihost_utils.process_allgather(outputs, tiled=True), state

    # Functions take attributes, which their hints do not know.
    gathered.gathers = True  # type: ignore[attr-defined]
    model.predict_function = gathered

"""Memory for batches that is used again, since new memory costs as much as a copy."""

import collections
import math
import weakref

import numpy as np

__all__ = ["Buffers"]

_ALIGNMENT = 64  # bytes; arrays that begin elsewhere TensorFlow copies (`py_func.cc`)


class Buffers:
    """Arrays whose memory comes back once nothing refers to them any more.

    What the system gives anew it first fills with zeros, page by page: for a batch of
    images that takes as long as half of reading it, unless the allocator happens to
    keep the memory. Several threads may ask at once.
    """

    def __init__(self) -> None:
        """Begins with no memory."""
        self._free: dict[int, list[np.ndarray]] = collections.defaultdict(list)

    def empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array of any values that TensorFlow takes without a copy.

        Args:
            shape: tuple of int >= 0. Shape of the array.

        Returns:
            (*shape) float32.
        """
        size = 4 * math.prod(shape)
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        # Views of it refer to this one, not to `memory`: what lies between is no array.
        whole = np.frombuffer(memory[start : start + size].data, np.float32)
        weakref.finalize(whole, free.append, memory).atexit = False
        return whole.reshape(shape)

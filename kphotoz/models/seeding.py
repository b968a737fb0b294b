"""Seeds of layers that were given none."""

import contextlib
import random
from collections.abc import Iterator

__all__ = ["seeded"]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds what Keras draws default seeds from, and restores it afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)

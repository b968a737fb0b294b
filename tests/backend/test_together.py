"""What the first process says arrives whole in the others, in any length."""

import sys
import types

import numpy as np
import pytest

from kphotoz.backend import together


class Stop(Exception):
    pass


@pytest.fixture
def as_process(monkeypatch):
    """Returns a function that makes this the process of a number, with a way to send.

    As in JAX, what is sent has an array's shape and type, the same in all processes,
    and only the first one's values arrive.
    """

    def become(number, send):
        jax = types.SimpleNamespace(broadcast_one_to_all=send)
        monkeypatch.setitem(sys.modules, "jax.experimental.multihost_utils", jax)
        monkeypatch.setattr(together, "process", lambda: (number, 2))

    return become


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 24, 30])
def test_content_arrives_in_pieces(as_process, monkeypatch, length):
    monkeypatch.setattr(together, "_PIECE", 8)
    content, sent = bytes(range(100, 100 + length)), []

    def send(array):
        assert array.dtype in (np.uint8, np.int32) and array.nbytes <= 8
        sent.append(np.array(array))
        return sent[-1]

    def receive(array):
        told = sent.pop(0)
        assert (array.shape, array.dtype) == (told.shape, told.dtype)
        return told

    as_process(0, send)
    assert together.broadcast(content) == content
    as_process(1, receive)
    assert together.broadcast(b"") == content and sent == []


def test_a_length_of_two_gibibytes_and_more_is_told(as_process):
    class Long(bytes):
        def __len__(self):
            return 2**33 + 5

    def send(array):
        if array.dtype == np.uint8:
            raise Stop
        assert array.dtype == np.int32
        return array

    as_process(0, send)
    with pytest.raises(Stop):  # so it comes to send the content
        together.broadcast(Long(b"a"))

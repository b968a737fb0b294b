import gc
import threading

import keras
import numpy as np

from kphotoz.backend import devices
from kphotoz.data.buffers import Buffers


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nothing_refers_to_it():
    buffers = Buffers()
    first = buffers.empty((7, 3))
    assert first.shape == (7, 3) and first.dtype == np.float32
    assert first.flags.writeable and address(first) % 64 == 0
    second = buffers.empty((7, 3))
    kept = address(first)
    assert not np.shares_memory(first, second)
    del first
    assert address(buffers.empty((3, 7))) == kept


def test_a_part_of_an_array_keeps_its_memory():
    buffers = Buffers()
    for part in (
        lambda a: a[2:4],
        lambda a: a.T,
        lambda a: a.view(np.uint32),
        lambda a: np.asarray(a)[..., None].reshape(-1),
        lambda a: memoryview(a),
    ):
        held = part(buffers.empty((8, 8)))
        gc.collect()
        other = buffers.empty((8, 8))
        assert not np.shares_memory(np.asarray(held), other)


def test_a_tensor_made_without_a_copy_keeps_its_memory():
    tf = devices.tensorflow()
    buffers = Buffers()

    def read(number):
        array = buffers.empty((1000,))
        array[:] = number
        return array

    steps = tf.data.Dataset.range(50)
    found = steps.map(lambda step: tf.numpy_function(read, [step], tf.float32))
    held = list(found.prefetch(2))
    # What Keras makes of batches under JAX must not be another's memory either.
    passed = [keras.ops.convert_to_tensor(x.numpy()) for x in found.prefetch(2)]
    for number, (one, two) in enumerate(zip(held, passed, strict=True)):
        expected = np.full(1000, number, np.float32)
        np.testing.assert_array_equal(one.numpy(), expected)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(two), expected)


def test_threads_never_share_memory():
    buffers = Buffers()
    wrong = []

    def work(number):
        for _ in range(2000):
            array = buffers.empty((16,))
            array[:] = number
            if not (array == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_array_may_be_empty():
    assert Buffers().empty((0, 4, 4)).shape == (0, 4, 4)

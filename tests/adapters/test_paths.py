import keras
import numpy as np

from kphotoz.adapters import paths


class Twins(keras.Model):
    """Two sublayers with one name."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(3, name="dense")
        self.second = keras.layers.Dense(3, name="dense")

    def call(self, x):
        return self.second(self.first(x))


def test_twins_of_one_name_get_paths_of_their_own():
    model = Twins()
    model(np.ones((2, 3), "float32"))
    assert list(paths.walk(model)) == ["dense", "dense:1"]


def test_paths_go_through_nested_models_and_attention():
    x = keras.Input((4, 6))
    inner = keras.Sequential([keras.Input((4, 6)), keras.layers.Dense(6, name="d")])
    inner.name = "inner"
    attention = keras.layers.MultiHeadAttention(2, 3, name="mha")
    y = inner(x)
    model = keras.Model(x, attention(y, y))
    found = set(paths.walk(model))
    assert {"inner/d", "mha/query", "mha/attention_output"} <= found


def test_attention_and_subclasses_cannot_be_swapped_but_graphs_can(base):
    x = keras.Input((4, 6))
    attention = keras.layers.MultiHeadAttention(2, 3)(x, x)
    assert paths.is_swappable(base)
    assert not paths.is_swappable(keras.Model(x, attention))
    assert not paths.is_swappable(Twins())


def test_a_graph_with_a_training_step_of_its_own_is_not_cloned():
    class Odd(keras.Model):
        def train_step(self, *args):
            return {}

    x = keras.Input((3,))
    assert not paths.is_swappable(Odd(x, keras.layers.Dense(2)(x)))


def test_hash_of_a_model_ignores_names_and_sees_one_changed_bit(base):
    before = paths.hash_model(base)
    clone = keras.models.clone_model(base)
    clone.set_weights(base.get_weights())
    assert paths.hash_model(clone) == before
    kernel = clone.get_layer("head_2").kernel
    value = paths.value(kernel)
    value[0, 0] = np.nextafter(value[0, 0], np.float32(9))
    kernel.assign(value)
    assert paths.hash_model(clone) != before

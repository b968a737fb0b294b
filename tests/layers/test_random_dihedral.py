"""RandomDihedral against numpy's rot90 and flip."""

import keras
import numpy as np

from kphotoz.layers import RandomDihedral


def _symmetries(image):
    turns = [np.rot90(image, k) for k in range(4)]
    return turns + [np.flip(turn, axis=1) for turn in turns]


def test_every_output_is_one_of_the_eight_and_all_eight_occur():
    image = np.random.default_rng(0).normal(size=(6, 6, 2)).astype("float32")
    batch = np.repeat(image[None], 200, axis=0)
    outputs = keras.ops.convert_to_numpy(RandomDihedral(seed=3)(batch, training=True))
    wanted = _symmetries(image)
    which = [
        [k for k, want in enumerate(wanted) if np.array_equal(want, output)]
        for output in outputs
    ]
    assert all(len(found) == 1 for found in which)
    # The chance that one of 8 never occurs in 200 draws is below 2e-11.
    assert {found[0] for found in which} == set(range(8))


def test_inference_leaves_images_alone_and_seeds_repeat():
    x = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(RandomDihedral(1)(x)), x)
    first = RandomDihedral(seed=7)(x, training=True)
    second = RandomDihedral(seed=7)(x, training=True)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second)
    )


def test_unequal_sides_keep_their_shape_and_are_only_mirrored():
    x = np.arange(4 * 6 * 2, dtype="float32").reshape(1, 4, 6, 2)
    batch = np.repeat(x, 40, axis=0)
    outputs = keras.ops.convert_to_numpy(RandomDihedral(0)(batch, training=True))
    wanted = [x[0, ::a, ::b] for a in (1, -1) for b in (1, -1)]
    for output in outputs:
        assert any(np.array_equal(output, want) for want in wanted)


def test_compiled_training_advances_the_draws():
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    layer = RandomDihedral(seed=0)
    parts = [keras.Input((6, 6, 2)), layer, keras.layers.Flatten()]
    model = keras.Sequential([*parts, keras.layers.Dense(1)])
    jit = keras.backend.backend() == "jax"
    model.compile(loss="mse", optimizer="sgd", jit_compile=jit)
    before = keras.ops.convert_to_numpy(layer.seed_generator.state.value).copy()
    model.fit(x, np.ones((8, 1)), verbose=0)
    after = keras.ops.convert_to_numpy(layer.seed_generator.state.value)
    assert (before != after).any()

"""Two batches with a shifted mean: what moves under each policy, in both mechanisms."""

import keras
import numpy as np
import pytest

from kphotoz import adapters

MOVES = {
    "freeze": set(),
    "adapt_statistics": {"moving_mean", "moving_variance"},
    "train": {"moving_mean", "moving_variance", "gamma", "beta"},
}


@pytest.mark.parametrize("policy", MOVES)
@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_policy_moves_what_it_says_and_its_adapter_file_keeps_it(
    kind, policy, kinds, compile_options, images, tmp_path
):
    base = kinds[kind]()
    model = adapters.apply(base, 1, batch_norm=policy)
    before = {path: values(v) for path, v in norm_weights(model).items()}
    model.compile(keras.optimizers.SGD(0.01), **compile_options)
    y = np.ones((4, 2), "float32")
    for offset in (3.0, 5.0):
        model.train_on_batch(images + offset, y)
    after = {path: values(v) for path, v in norm_weights(model).items()}
    moved = {p.split("/")[-1] for p in before if (before[p] != after[p]).any()}
    assert moved == MOVES[policy]
    adapters.save(model, tmp_path / "a.safetensors")
    loaded = adapters.load(base, tmp_path / "a.safetensors")
    for path, variable in norm_weights(loaded).items():
        np.testing.assert_array_equal(values(variable), after[path])
    model.save(tmp_path / "m.keras")
    reloaded = keras.models.load_model(tmp_path / "m.keras", compile=False)
    names = [[v.path for v in x.trainable_weights] for x in (model, reloaded)]
    assert names[0] == names[1]


def norm_weights(model):
    return {v.path: v for v in model.weights if "norm/" in v.path}


def values(variable):
    return np.array(keras.ops.convert_to_numpy(variable))

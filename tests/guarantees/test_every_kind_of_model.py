"""What holds for every kind of model that `apply` takes."""

import keras
import numpy as np
import pytest

from kphotoz import adapters

MERGE_TOLERANCE = 1e-6


def test_adapter_is_identity_at_start(story):
    np.testing.assert_array_equal(story.start_output, story.base_output)


def test_apply_returns_an_uncompiled_model(story):
    assert not story.was_compiled


def test_base_stays_bit_equal_while_its_adapter_trains(story):
    for old, new in zip(story.base_weights, story.base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_after_step_one_every_b_moved_and_nothing_frozen(story):
    assert story.after_one["B"] == []
    assert story.after_one["frozen"] == []


def test_before_step_two_no_a_can_have_moved_but_after_it_all_have(story):
    assert len(story.after_one["A"]) == len(_rows(story.model))
    assert story.after_two == {"A": [], "B": [], "frozen": []}


def test_toggling_trainable_thaws_no_adapted_kernel(story):
    trainable = [v.path for v in story.model.trainable_weights]
    assert not [path for path in trainable if path.endswith("kernel")]


def test_reload_loses_no_factor_and_changes_no_output(story):
    np.testing.assert_allclose(story.call(story.reloaded), story.output, atol=1e-6)
    assert adapters.count(story.reloaded) == adapters.count(story.model)


def test_reload_keeps_every_weight_bit_for_bit(story):
    for old, new in zip(story.model.weights, story.reloaded.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (old, new)))


def test_training_goes_on_after_reload_with_all_factors_and_nothing_frozen(story):
    model = keras.models.load_model(story.reloaded and story.folder / "model.keras")
    before = adapters.snapshot(model)
    story.compile(model)
    story.step(model)
    assert story.moves(before, model) == {"A": [], "B": [], "frozen": []}


def test_saving_changes_no_weight(story):
    before = adapters.snapshot(story.model)
    story.model.save(story.folder / "again.keras")
    adapters.save(story.model, story.folder / "again.safetensors")
    assert adapters.snapshot(story.model) == before


def test_adapter_file_restores_the_output_on_the_base(story):
    model = adapters.load(story.base, story.file)
    np.testing.assert_allclose(story.call(model), story.output, atol=1e-6)


def test_merged_equals_unmerged(story):
    np.testing.assert_allclose(
        story.call(story.merged), story.output, atol=MERGE_TOLERANCE
    )


def test_merged_layers_are_plain(story):
    layers = story.merged._flatten_layers(include_self=False)
    assert not [x for x in layers if type(x).__module__.startswith("kphotoz.")]
    assert adapters.report(story.merged) and adapters.count(story.merged) == 0


def test_merging_twice_gives_the_same_and_keeps_the_base_apart(story):
    before = adapters.snapshot(story.model)
    again = adapters.merge(story.model)
    for old, new in zip(story.merged.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert adapters.snapshot(story.model) == before


def test_kernels_under_the_adapter_are_the_bases_bit_for_bit(story):
    from kphotoz.adapters.inventory import adapters_of
    from kphotoz.adapters.paths import walk

    layers = walk(story.base)
    for adapter in adapters_of(story.reloaded):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(adapter.kernel),
            keras.ops.convert_to_numpy(layers[adapter.path].kernel),
        )


def _rows(model):
    return [row for row in adapters.report(model) if row["rank"]]


def test_fit_without_compile_raises(story):
    fresh = adapters.apply(story.base, rank=1)
    with pytest.raises(ValueError, match="compile"):
        fresh.fit(story.images, story.targets, verbose=0)

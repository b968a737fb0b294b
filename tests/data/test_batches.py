import types

import numpy as np
import pytest

from kphotoz import data
from kphotoz.backend import devices, distribution, together
from kphotoz.data import TrainingBatches, ordered_batches, shared_batches
from kphotoz.data.batches import to_device


def ids(sample, dataset):
    """Returns the row of each example of each batch, found by its label."""
    rows = {np.float32(z): row for row, z in enumerate(sample.table["redshift"])}
    return [[rows[z] for z in batch[1].numpy()] for batch in dataset]


def batches(sample, epoch=0, seed=3, first_step=0, steps=None, **options):
    made = TrainingBatches(sample, batch_size=16, seed=seed, **options)
    return made.epoch(epoch, first_step=first_step, steps=steps)


def test_images_stay_with_their_labels_and_weights(tiny, make_example):
    train = tiny["train"]
    weights = np.arange(40) / 2
    seen = set()
    for images, labels, weight in batches(train, weights=weights):
        columns = (images.numpy(), labels.numpy(), weight.numpy())
        for image, z, w in zip(*columns, strict=True):
            number = int(2 * w)
            assert z == make_example(number)["redshift"]
            np.testing.assert_array_equal(image, make_example(number)["image"])
            seen.add(number)
    assert seen == set(range(40))


def test_order_is_a_function_of_seed_epoch_and_step_alone(tiny):
    import keras

    train = tiny["train"]
    first = ids(train, batches(train))
    keras.utils.set_random_seed(99)
    assert ids(train, batches(train)) == first
    assert ids(train, batches(train, first_step=1)) == first[1:]
    assert ids(train, batches(train, first_step=1, steps=1)) == first[1:2]
    assert ids(train, batches(train, epoch=1)) != first
    assert ids(train, batches(train, seed=4)) != first
    assert sorted(sum(first, [])) == list(range(40)) and len(first[-1]) == 8


def test_one_data_set_gives_the_rows_of_every_epoch(tiny):
    train = tiny["train"]
    run = TrainingBatches(train, batch_size=16, seed=3)
    sets = []
    for epoch in (0, 1, 5):
        sets.append(run.epoch(epoch))
        assert ids(train, sets[-1]) == ids(train, batches(train, epoch=epoch))
    assert sets[0] is sets[1] is sets[2]
    assert run.epoch(0, first_step=1) is not sets[0]


@pytest.mark.parametrize(("in_a_call", "fits"), [(1, 1), (3, 1), (2, 3)])
def test_epochs_follow_each_other_as_they_do_one_by_one(
    tiny, monkeypatch, in_a_call, fits
):
    import keras

    train = tiny["train"]  # three batches an epoch
    model = keras.Sequential([keras.Input((16, 16, 4)), keras.layers.Flatten()])
    model.compile("sgd", "mse", steps_per_execution=in_a_call)
    given, losses = [], []

    def see(model, dataset, callbacks=(), initial_epoch=0, epochs=1, **others):
        given.append(ids(train, dataset))
        for callback in callbacks:
            callback.set_model(model)
            for epoch in range(initial_epoch, epochs):
                callback.on_epoch_end(epoch, {"loss": float(epoch)})
        return types.SimpleNamespace(history={"loss": [0.0]})

    monkeypatch.setattr(keras.Model, "fit", see)
    run = TrainingBatches(train, batch_size=16, seed=3)
    run.fit_epochs(model, range(2, 5), lambda loss: losses.append(loss) or True)
    assert len(given) == fits and len(losses) == 3
    wanted = [rows for e in (2, 3, 4) for rows in ids(train, batches(train, epoch=e))]
    assert sum(given, []) == wanted


@pytest.mark.parametrize("in_a_call", [1, 2])
def test_training_ends_when_told_so_after_an_epoch(tiny, in_a_call):
    import keras

    if in_a_call > 1 and keras.backend.backend() == "jax":
        pytest.skip("JAX takes single steps")
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    rate = keras.optimizers.SGD(1e-6)
    model.compile(rate, "mse", steps_per_execution=in_a_call)
    run, seen = TrainingBatches(tiny["train"], batch_size=16, seed=3), []

    def ended(loss):
        seen.append((int(rate.iterations), loss))
        return len(seen) < 2

    run.fit_epochs(model, range(5), ended)
    assert [steps for steps, _ in seen] == [3, 6]
    assert int(rate.iterations) == 6
    assert seen[1][1] < seen[0][1]


def test_ordered_batches_come_in_table_order_with_a_short_last_one(tiny):
    got = [batch.numpy() for batch in ordered_batches(tiny["train"], batch_size=15)]
    assert [len(batch) for batch in got] == [15, 15, 10]
    np.testing.assert_array_equal(np.concatenate(got), tiny["train"].inputs())


@pytest.mark.parametrize(("short", "replicas"), [(8, 2), (8, 4), (5, 2), (5, 4)])
def test_processes_share_each_batch_and_repeat_what_cannot_be_shared(
    tiny, monkeypatch, short, replicas
):
    train = tiny["train"].select(np.arange(32 + short))
    whole = ids(train, batches(train))
    monkeypatch.setattr(distribution, "replicas", lambda: replicas)
    uneven = short % replicas != 0
    if uneven:
        with pytest.raises(ValueError, match=f"a last batch of {short} alone"):
            batches(train)
    shares = []
    for number in range(2):
        monkeypatch.setattr(together, "process", lambda number=number: (number, 2))
        steps = {"steps": 2} if uneven else {}
        shares.append(ids(train, batches(train, **steps)))
        if uneven:
            shares[-1] += ids(train, batches(train, first_step=2))
    joined = [a + b for a, b in zip(*shares, strict=True)]
    times = replicas if uneven else 1
    assert joined == [*whole[:2], whole[2] * times]
    assert all(len(a) == len(b) for a, b in zip(*shares, strict=True))


def test_processes_share_ordered_batches_and_fill_up_the_last(tiny, monkeypatch):
    train = tiny["train"].select(np.arange(37))
    monkeypatch.setattr(distribution, "replicas", lambda: 4)
    shares = []
    for number in range(2):
        monkeypatch.setattr(together, "process", lambda number=number: (number, 2))
        shares.append([x.numpy() for x in shared_batches(train, batch_size=15)])
    joined = [np.concatenate(pair) for pair in zip(*shares, strict=True)]
    assert [len(x) for x in joined] == [16, 16, 8]
    rows = np.minimum(np.arange(40), 36)
    np.testing.assert_array_equal(np.concatenate(joined), train.inputs()[rows])


def test_last_step_is_the_copy_to_the_device(tiny, monkeypatch):
    # No GPU is needed: the CPU stands in for it, under the same operation.
    monkeypatch.setattr(devices, "gpus", lambda: ["CPU:0"])
    monkeypatch.setattr(devices, "name", lambda: "tensorflow")
    dataset = batches(tiny["train"])
    copy = dataset._input_dataset
    assert type(dataset).__name__ == "_PrefetchDataset"
    assert type(copy).__name__ == "_CopyToDeviceDataset"
    assert copy._target_device.endswith("CPU:0")
    images, _ = next(iter(dataset))
    assert images.shape == (16, 16, 16, 4)


def test_training_takes_no_step_after_the_copy_to_the_device(tiny, monkeypatch):
    import keras

    from kphotoz.tasks import RedshiftTask
    from kphotoz.training import loop
    from kphotoz.training.settings import Training

    seen = []

    def see(model, given, steps_per_epoch, **others):
        seen.append((type(given).__name__, ids(tiny["train"], given)))
        assert len(seen[-1][1]) == steps_per_epoch
        return types.SimpleNamespace(history={"loss": [0.0]})

    monkeypatch.setattr(keras.Model, "fit", see)
    model = keras.Sequential([keras.Input((16, 16, 4)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(1, kernel_initializer="zeros"))
    settings = Training(epochs=1, batch_size=16, minimum_steps=0)
    given = {"task": RedshiftTask((0.0, 2.0)), "settings": settings, "seed": 3}
    loop.train(model, tiny["train"], tiny["train"], verify=lambda step: None, **given)
    assert {name for name, _ in seen} == {"_PrefetchDataset"}
    whole = ids(tiny["train"], batches(tiny["train"]))
    assert sum((rows for _, rows in seen), []) == whole


def test_batches_in_memory_are_the_same(tiny):
    whole = tiny["train"].select(np.arange(32))
    given = list(batches(whole))
    held = data.in_memory(batches(whole))
    for found in (list(held), list(held)):  # every pass gives them
        assert len(found) == len(given) == 2
        for one, two in zip(given, found, strict=True):
            for a, b in zip(one, two, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_without_a_gpu_the_last_step_is_a_plain_prefetch(tiny):
    assert type(batches(tiny["train"])).__name__ == "_PrefetchDataset"
    assert type(batches(tiny["train"])._input_dataset).__name__ == "_OptionsDataset"


def test_batches_keep_their_values_on_the_way_to_the_device():
    tf = devices.tensorflow()
    got = [int(x) for x in to_device(tf.data.Dataset.range(5))]
    assert got == [0, 1, 2, 3, 4]


def test_labels_of_the_wrong_length_are_refused(tiny):
    with pytest.raises(ValueError, match="40 rows. Received: 3"):
        batches(tiny["train"], labels=np.zeros(3))


def test_keras_trains_on_the_batches_under_either_backend(tiny):
    import keras

    # A linear model on one pixel of a constant label: the bias must reach the label.
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    run = TrainingBatches(tiny["train"], batch_size=16, seed=3)
    found = run.fit(model, 0)
    predicted = model.predict(ordered_batches(tiny["train"], batch_size=40), verbose=0)
    loss = np.mean((predicted[:, 0] - tiny["train"].table["redshift"]) ** 2)
    np.testing.assert_allclose(found, loss, rtol=1e-5)
    last = np.mean(
        [
            (predicted[row, 0] - tiny["train"].table["redshift"][row]) ** 2
            for row in ids(tiny["train"], run.epoch(0))[-1]
        ]
    )
    np.testing.assert_allclose(run.fit(model, 0, first_step=2), last, rtol=1e-5)

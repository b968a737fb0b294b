"""Times training on a survey against batches in memory and two readers of HDF5.

Aim: a training step takes at most 1.1 times as long on a survey as on ready-made
batches in memory, and training passes no fewer galaxies a second than with the rivals.

Rivals: a h5py generator under `tf.data.Dataset.from_generator`, with `prefetch(2)` as
ours; a `keras.utils.PyDataset` that reads with h5py. Both read the file that the survey
is built from, each batch in one selection of sorted rows, in a new order each epoch,
and keep nothing. The survey's inputs are read once, before the first step: those
seconds are told apart, since the rivals have none. Network, batches, loss and optimiser
are equal; all sides train in one process, in turns. A second pass without a network
drains the pipelines alone. The last line is JSON with medians.

    python benchmarks/input_pipeline.py --quick
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

import write_galaxies_ml

BATCH = 64
AIM = 1.1


def sides(sample, survey, path: pathlib.Path, rows) -> dict:
    """Returns {name: function of the epoch to the batches of that epoch}.

    Args:
        sample: Sample. The galaxies.
        survey: TrainingBatches. Their batches.
        path: HDF5 file that they were built from.
        rows: (n,) integers. Row of the file of each galaxy of the sample.
    """
    import h5py
    import keras
    import numpy as np
    import tensorflow as tf

    from kphotoz import data

    labels = sample.table["redshift"].astype("float32")
    shape = sample.info.input_shape
    steps = len(sample) // BATCH
    held = data.in_memory(survey.epoch(0))

    def batch(file, order, step):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        chosen = chosen[np.argsort(rows[chosen])]  # h5py wants rising rows
        pixels = file["image"][rows[chosen]].transpose(0, 2, 3, 1)
        return np.ascontiguousarray(pixels, "float32"), labels[chosen]

    def generator(epoch):
        order = np.random.default_rng([1, epoch]).permutation(len(sample))

        def read():
            with h5py.File(path, "r") as file:
                for step in range(steps):
                    yield batch(file, order, step)

        signature = (
            tf.TensorSpec((BATCH, *shape), tf.float32),
            tf.TensorSpec((BATCH,), tf.float32),
        )
        made = tf.data.Dataset.from_generator(read, output_signature=signature)
        return made.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)

    class Reader(keras.utils.PyDataset):
        """Batches of one epoch, read when Keras asks for them."""

        def __init__(self, epoch):
            super().__init__()
            self.order = np.random.default_rng([1, epoch]).permutation(len(sample))
            self.file = h5py.File(path, "r")

        def __len__(self):
            return steps

        def __getitem__(self, step):
            return batch(self.file, self.order, step)

    return {
        "survey": survey.epoch,
        "memory": lambda epoch: held,
        "from_generator": generator,
        "PyDataset": Reader,
    }


def drain(batches) -> None:
    """Takes every batch, as fast as they come."""
    if hasattr(batches, "__getitem__"):
        for step in range(len(batches)):
            batches[step]
        return
    for _ in batches:
        pass


def prepare(folder: pathlib.Path, count: int):
    """Returns the training sample of a new survey, its file, and rows in that file."""
    import h5py
    import numpy as np

    from kphotoz import data

    sizes = (2 * count, 64, 64)
    paths = write_galaxies_ml.write_set(folder, "galaxies_ml", sizes, density=10.0)
    os.environ["TFDS_DATA_DIR"] = str(folder / "tfds")
    start = time.perf_counter()
    splits = data.open_survey("galaxies_ml/images_64", manual_dir=str(folder))
    sample = splits["train"].select(np.arange(count))
    build = time.perf_counter() - start
    path = max(paths, key=lambda one: one.stat().st_size)
    with h5py.File(path, "r") as file:
        names = {str(name): row for row, name in enumerate(file["object_id"][:])}
    rows = np.array([names[name] for name in sample.table["id"]])
    return sample, path, rows, build


def measure(folder: pathlib.Path, count: int, repeats: int) -> dict:
    """Returns what was measured."""
    import h5py
    import numpy as np

    from kphotoz import data
    from kphotoz.training import timing
    from kphotoz.training.environment import describe
    from kphotoz.training.settings import Training

    sample, path, rows, build = prepare(folder, count)
    start = time.perf_counter()
    sample.load()
    loading = time.perf_counter() - start
    with h5py.File(path, "r") as file:  # all sides see the same pixels
        first = file["image"][rows[0]].transpose(1, 2, 0)
    np.testing.assert_array_equal(sample.gather(np.array([0]))[0], first)
    settings = Training(batch_size=BATCH)
    model = timing.compiled(sample, {"name": "small_cnn"}, settings)
    survey = data.TrainingBatches(sample, batch_size=BATCH, seed=0)
    made = sides(sample, survey, path, rows)

    def training(batches):
        return lambda turn: model.fit(batches(turn), shuffle=False, verbose=0)

    def alone(batches):
        return lambda turn: drain(batches(turn))

    work = {name: training(batches) for name, batches in made.items()}
    work["survey"] = lambda turn: survey.fit(model, turn)
    train = timing.alternate(work, repeats)
    drained = timing.alternate({n: alone(b) for n, b in made.items()}, repeats)

    def rates(times):
        return {n: round(count / statistics.median(t), 1) for n, t in times.items()}

    ratios = {
        name: [round(a / b, 3) for a, b in zip(times, train["memory"], strict=True)]
        for name, times in train.items()
    }
    return {
        "benchmark": "input_pipeline",
        "galaxies": count,
        "batch": BATCH,
        "network": "small_cnn",
        "build_seconds": round(build, 2),
        "load_seconds": round(loading, 2),
        "training_examples_per_second": rates(train),
        "input_alone_examples_per_second": rates(drained),
        "over_memory": {n: round(statistics.median(r), 3) for n, r in ratios.items()},
        "over_memory_range": {n: [min(r), max(r)] for n, r in ratios.items()},
        "aim": {"survey over memory": AIM},
        "repeats": repeats,
        "environment": describe(),
    }


def main() -> None:
    """Reads the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="1,280 galaxies, 5 turns")
    parser.add_argument("--count", type=int, help="galaxies, a multiple of 64")
    parser.add_argument("--repeats", type=int, help="turns")
    parser.add_argument("--folder", help="where to write [default: a temporary one]")
    chosen = parser.parse_args()
    count = chosen.count or (20 * BATCH if chosen.quick else 100 * BATCH)
    repeats = chosen.repeats or (5 if chosen.quick else 9)
    if count % BATCH:
        parser.error(f"wanted a multiple of {BATCH} galaxies; received {count}")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = measure(pathlib.Path(folder), count, repeats)
    for name, rate in found["training_examples_per_second"].items():
        alone = found["input_alone_examples_per_second"][name]
        print(f"{name:15} {rate:8.1f} galaxies/s training, {alone:9.1f} input alone")
    print(json.dumps(found))


if __name__ == "__main__":
    main()

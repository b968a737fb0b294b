"""Measures how training and prediction cost grow with the number of galaxies.

Aim: seconds per galaxy of training, and peak memory beyond the inputs themselves, stay
within 10 % from 1,000 to 100,000 galaxies (10,000 with --quick); predicting 10 times
(without --quick 100 times) as many rows, generated on the fly, adds at most 200 MB.

Inputs of training are held in memory while they take less than half of what is free,
else on disk; they are told apart. Every size trains on whole epochs, of as many steps
in all as the largest sample has in one, after as many to warm up, as `fit` trains and
without its judgements. Each measurement is a process of its own; sizes take turns.
Galaxies are noise with a colour, 16 x 16 pixels in five bands, so that input and
bookkeeping count beside a small network. No rival: the claim is about our own growth.
The last line is JSON with medians.

    python benchmarks/cost_against_size.py --quick
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

SIZE, BANDS, BATCH = 16, "grizy", 64
NETWORK = {"name": "small_cnn", "crop": SIZE, "filters": [8, 16], "image_units": 16}
NETWORK |= {"radii": [1.5, 3.0, 6.0], "photometry_units": [32], "head_units": [16]}
WITHIN, ADDED_MB = 0.10, 200  # what is aimed at


def galaxies(rows):
    """Returns images (n, SIZE, SIZE, 5) and redshifts (n,); a row is always the same.

    Args:
        rows: range of row numbers.
    """
    import numpy as np

    rng = np.random.default_rng([0, rows.start])
    redshift = rng.uniform(0.1, 1.5, len(rows))
    images = rng.normal(0, 0.1, (len(rows), SIZE, SIZE, len(BANDS))).astype("float32")
    middle = slice(SIZE // 2 - 2, SIZE // 2 + 2)
    colour = 1 + redshift[:, None] * np.arange(len(BANDS))
    images[:, middle, middle] += colour[:, None, None, :].astype("float32")
    return images, redshift


class Store:
    """A split of a survey, as `Sample` reads one, whose galaxies are made here."""

    def __init__(self, count: int) -> None:
        """Makes `count` galaxies."""
        import numpy as np

        from kphotoz import data
        from kphotoz.data.split_store import COLUMNS, allocate

        shape = (SIZE, SIZE, len(BANDS))
        self.inputs = allocate((count, *shape))
        redshift = np.empty(count)
        for start in range(0, count, BATCH):
            rows = range(start, min(start + BATCH, count))
            chosen = slice(rows.start, rows.stop)
            self.inputs[chosen], redshift[chosen] = galaxies(rows)
        self.table = {name: np.full(count, np.nan) for name in COLUMNS}
        names = np.array([f"galaxy-{row}" for row in range(count)], object)
        self.table |= {"id": names, "group": names, "redshift": redshift}
        self.info = data.SurveyInfo(
            name="made",
            bands=tuple(BANDS),
            pixel_scale=0.2,
            unit="count",
            kind="image",
            input_shape=shape,
            label_kind="spectroscopic",
            counts={"train": count},
            metadata={},
        )

    def __len__(self) -> int:
        """Returns the number of galaxies."""
        return len(self.inputs)


def made_sample(count: int):
    """Returns a Sample of made galaxies."""
    import numpy as np

    from kphotoz import data

    return data.Sample([(Store(count), np.arange(count))])


def train(count: int, largest: int) -> dict:
    """Trains on `count` galaxies until it has seen `largest`; returns the cost."""
    from kphotoz import data
    from kphotoz.training import timing
    from kphotoz.training.settings import Training

    sample = made_sample(count)
    model = timing.compiled(sample, NETWORK, Training(batch_size=BATCH))

    batches = data.TrainingBatches(sample, batch_size=BATCH, seed=0)
    epochs = round(largest / count)
    batches.fit_epochs(model, range(epochs), lambda loss: True)
    start = time.perf_counter()
    batches.fit_epochs(model, range(epochs, 2 * epochs), lambda loss: True)
    seconds = time.perf_counter() - start
    inputs = sample.info.input_shape
    return {
        "microseconds_per_galaxy": 1e6 * seconds / (epochs * count),
        "inputs_mb": 4 * count * inputs[0] * inputs[1] * inputs[2] / 1e6,
    }


def predict(count: int, _: int) -> dict:
    """Predicts `count` rows that are made as they are asked for."""
    import numpy as np

    from kphotoz.data.stream import Stream
    from kphotoz.prediction import predict
    from kphotoz.training import timing
    from kphotoz.training.settings import Training

    class Made(Stream):
        name, kind, bands, pixel_scale = "made", "image", tuple(BANDS), 0.2
        input_shape = (SIZE, SIZE, len(BANDS))
        table = {"id": np.array([f"galaxy-{row}" for row in range(count)], object)}

        def chunks(self, size, start=0):
            for first in range(start, count, size):
                rows = range(first, min(first + size, count))
                yield first, galaxies(rows)[0], np.full(len(rows), "", object)

        def digest(self):
            return f"made {count}"

        def close(self):
            pass

    model = timing.compiled(made_sample(256), NETWORK, Training(batch_size=BATCH))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = predict(model, [Made()], pathlib.Path(folder) / "p.parquet")
        seconds = time.perf_counter() - start
    assert found.rows == count and not found.flagged
    return {"microseconds_per_galaxy": 1e6 * seconds / count, "inputs_mb": 0.0}


WORK = {"train": train, "predict": predict}


def measure(what: str, count: int, largest: int) -> dict:
    """Runs one measurement in a process of its own."""
    command = [sys.executable, __file__, "--work", what, str(count), str(largest)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{what} {count} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(what, count, {key: round(value, 2) for key, value in found.items()})
    return found


def compare(sizes: dict[str, list[int]], repeats: int) -> dict:
    """Returns medians by work and size, and how far they are from flat."""
    runs: dict = {what: {n: [] for n in counts} for what, counts in sizes.items()}
    for _ in range(repeats):
        for what, counts in sizes.items():
            for count in counts:
                runs[what][count].append(measure(what, count, max(counts)))
    found = {
        what: {
            str(count): {
                key: round(statistics.median(one[key] for one in each), 2)
                for key in each[0]
            }
            for count, each in by_size.items()
        }
        for what, by_size in runs.items()
    }
    times = [row["microseconds_per_galaxy"] for row in found["train"].values()]
    beyond = [row["peak_mb"] - row["inputs_mb"] for row in found["train"].values()]
    peaks = [row["peak_mb"] for row in found["predict"].values()]
    return found | {
        "training_time_over_smallest": [round(one / times[0], 3) for one in times],
        "memory_beyond_inputs_over_smallest": [
            round(one / beyond[0], 3) for one in beyond
        ],
        "prediction_added_mb": round(peaks[-1] - peaks[0], 1),
        "aims": {"within": WITHIN, "prediction_added_mb": ADDED_MB},
    }


def main() -> None:
    """Reads the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 10^4 and 10^5")
    parser.add_argument("--repeats", type=int, help="runs of each size")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        what, *numbers = chosen.work
        found = WORK[what](*map(int, numbers))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps(found | {"peak_mb": peak}))
        return
    training, prediction = [1_000, 10_000], [10_000, 100_000]
    if not chosen.quick:
        training, prediction = [*training, 100_000], [*prediction, 1_000_000]
    sizes = {"train": training, "predict": prediction}
    repeats = chosen.repeats or (3 if chosen.quick else 5)
    found = {"benchmark": "cost_against_size", **compare(sizes, repeats)}
    from kphotoz.training.environment import describe

    details = {"repeats": repeats, "batch": BATCH, "environment": describe()}
    print(json.dumps(found | details))


if __name__ == "__main__":
    main()

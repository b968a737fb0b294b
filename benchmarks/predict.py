"""Times predictions: kphotoz' engines against Keras and PyTorch, and from end to end.

Aims: in bfloat16, where the processor has it, four times the rate of Keras' own
`predict` in float32 and 1.2 times that of PyTorch in bfloat16; in float32 at least as
fast as every rival; from a built survey to a parquet table at 80 % of the bare engine's
rate or more. docs/results/predict.md says what was reached.

The network is a ResNet-18 on 64x64x5 images, batch 128, random weights. Sides, all in
float32 unless they say bfloat16, all from numpy to numpy:

    keras             `keras.Model.predict` as it comes
    kphotoz-keras     the engine keras: normalisations folded
    kphotoz-openvino  the engine openvino, where it is installed
    torch             PyTorch, channels last, inference mode
    torch-bfloat16    the same with autocast, where the processor has bfloat16, as
    kphotoz-openvino-bfloat16
    ...-file          `kphotoz.prediction.predict` from HDF5 to parquet, from the moment
                      the engine is chosen; seconds until then are given apart
    ...-survey        the same from a survey that was built of that file

Sides take turns, PyTorch in a process that waits in between. Rates are medians over
turns, ratios medians of the ratios within a turn. The last line is JSON.

    python benchmarks/predict.py --quick
    KPHOTOZ_TORCH_PYTHON=/path/to/python/with/torch python benchmarks/predict.py
"""

import argparse
import contextlib
import functools
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from lora_step import BANDS, SIZE, resnet

BATCH = 128
# Sides of kphotoz, also measured from end to end: engine and precision.
OURS = {
    "kphotoz-keras": ("keras", "float32"),
    "kphotoz-openvino": ("openvino", "float32"),
    "kphotoz-openvino-bfloat16": ("openvino", "mixed_bfloat16"),
}

SOURCES = ("file", "survey")


def seconds_of(call: Callable, batch: np.ndarray, count: int) -> float:
    """Returns the seconds that `count` batches take."""
    start = time.perf_counter()
    for _ in range(count):
        call(batch)
    return time.perf_counter() - start


def images(count: int) -> np.ndarray:
    """Returns noise, (count, height, width, band) float32."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, SIZE, SIZE, BANDS), np.float32)


def engines(model) -> dict[str, Callable]:
    """Returns the engines of kphotoz that run here, by the names of their sides."""
    from kphotoz.prediction import engines, openvino_engine

    found = {}
    for side, (name, precision) in OURS.items():
        if name == "openvino" and not openvino_engine.installed():
            continue
        if precision != "float32" and not openvino_engine.has_bfloat16():
            continue
        start = time.perf_counter()
        engine = engines.choose(
            model,
            name,
            shapes=[(SIZE, SIZE, BANDS)],
            rows=BATCH,
            batch_size=BATCH,
            precision=precision,
            sample=lambda: images(BATCH),
        )
        print(f"{side}: {engine}, {time.perf_counter() - start:.0f} s to start")
        found[side] = engine.call
    return found


def stock(model) -> Callable:
    """Returns Keras' own `predict` of a copy."""
    import keras

    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return functools.partial(copy.predict, batch_size=BATCH, verbose=0)


def whole(model, side: str, source, out: pathlib.Path) -> tuple[float, float, int]:
    """Returns seconds to a table, after and before the engine was there, and rows."""
    from kphotoz.prediction import predict

    chosen = []
    engine, precision = OURS[side]
    start = time.perf_counter()
    summary = predict(
        model,
        [source],
        out,
        batch_size=BATCH,
        engine=engine,
        precision=precision,
        tell=lambda line: chosen.append(time.perf_counter()),
    )
    assert summary.rows and not summary.flagged
    return time.perf_counter() - chosen[0], chosen[0] - start, summary.rows


def write(path: pathlib.Path, rows: int) -> None:
    """Writes a survey of noise with labels, band first, as cutouts are kept."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("images", (rows, BANDS, SIZE, SIZE), "float32")
        file["images"].attrs["bands"] = "g,r,i,z,y"
        part = np.moveaxis(images(BATCH), -1, 1)
        for start in range(0, rows, BATCH):
            file["images"][start : start + BATCH] = part[: rows - start]
        file["id"], file["redshift"] = np.arange(rows), np.linspace(0, 1, rows)


def sources(folder: pathlib.Path, rows: int) -> dict:
    """Returns a file's spec and the name of a survey built of it."""
    from kphotoz.files_in.file_spec import FileSpec
    from kphotoz.files_in.importing import import_file

    os.environ["TFDS_DATA_DIR"] = str(folder)
    path = folder / "survey.h5"
    write(path, rows)
    spec = FileSpec.create(
        file=path, bands=tuple("grizy"), pixel_scale=0.2, photometry="unknown"
    )
    return {"file": spec, "survey": import_file(spec)}


class Torch:
    """PyTorch in a process that times batches when it is asked."""

    def __init__(self, python: str, precision: str) -> None:
        """Starts the process with a Python that has torch."""
        command = [python, __file__, "--worker", precision]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, count: int) -> float:
        """Returns the seconds that `count` batches take."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def work(precision: str) -> None:
    """Times batches in PyTorch for each number that comes in."""
    import torch
    from torch_models import MODELS

    torch.manual_seed(0)
    model = MODELS["resnet18"](BANDS, SIZE).eval().to(memory_format=torch.channels_last)
    cast = torch.autocast("cpu", torch.bfloat16)

    def call(batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(batch).permute(0, 3, 1, 2)  # channels last as it is
        with torch.inference_mode():
            with cast if precision == "bfloat16" else contextlib.nullcontext():
                return model(x).float().numpy()

    for line in sys.stdin:
        print(seconds_of(call, images(BATCH), int(line)), flush=True)


def measure(options: argparse.Namespace) -> tuple[dict, dict]:
    """Returns {side: images per second of each turn}, {side: seconds to start}."""
    from kphotoz.prediction import openvino_engine

    model, batch = resnet(), images(BATCH)
    calls = {"keras": stock(model)} | engines(model)
    sides = {
        side: functools.partial(seconds_of, call, batch) for side, call in calls.items()
    }
    rates: dict = {}
    starts: dict = {}
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        inputs = sources(folder, options.rows)
        half = ["bfloat16"] if openvino_engine.has_bfloat16() else []
        for precision in ["float32", *half] if options.torch else []:
            torch = Torch(options.torch, precision)
            stack.callback(torch.close)
            suffix = "" if precision == "float32" else f"-{precision}"
            sides[f"torch{suffix}"] = torch.seconds
        for seconds in sides.values():
            seconds(3)  # warm
        for _ in range(options.turns):
            for side, seconds in sides.items():
                rate = BATCH * options.batches / seconds(options.batches)
                rates.setdefault(side, []).append(rate)
                if side not in OURS:
                    continue
                for kind, source in inputs.items():  # under the same load
                    out = folder / "predictions.parquet"
                    after, before, rows = whole(model, side, source, out)
                    rates.setdefault(f"{side}-{kind}", []).append(rows / after)
                    starts.setdefault(side, []).append(before)
    return rates, starts


def last_line(rates: dict, starts: dict, options: argparse.Namespace) -> dict:
    """Returns medians, their ratios, and what was measured on."""
    median = {side: statistics.median(each) for side, each in rates.items()}
    full = [side for side in OURS if side in median and OURS[side][1] == "float32"]
    ours, half = max(full, key=median.get), "kphotoz-openvino-bfloat16"
    pairs = [(f"{side}-{kind}", side) for side in starts for kind in SOURCES]
    pairs += [
        (ours, "keras"),
        (ours, "torch"),
        (half, "keras"),
        (half, "torch-bfloat16"),
    ]
    pairs = [pair for pair in pairs if all(side in median for side in pair)]
    ratios = {f"{one} over {other}": ratio(rates, one, other) for one, other in pairs}
    names = ("keras", "tensorflow", "jax", "openvino", "kphotoz")
    return {
        "images_per_second": {side: round(each, 1) for side, each in median.items()},
        "spread": {s: [round(min(x), 1), round(max(x), 1)] for s, x in rates.items()},
        "ratios": ratios,
        "seconds_to_start": {
            side: round(statistics.median(each), 1) for side, each in starts.items()
        },
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "turns": options.turns,
        "batch": BATCH,
        "rows": options.rows,
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: version(name) for name in names},
    }


def ratio(rates: dict, one: str, other: str) -> float:
    """Returns the median over turns of the ratio of two rates."""
    turns = zip(rates[one], rates[other], strict=True)
    return round(statistics.median(a / b for a, b in turns), 3)


def version(name: str) -> str | None:
    """Returns the version of a package, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Reads the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five minutes at most")
    parser.add_argument(
        "--torch",
        default=os.environ.get("KPHOTOZ_TORCH_PYTHON"),
        help="Python that has torch [default: KPHOTOZ_TORCH_PYTHON]",
    )
    parser.add_argument("--repeats", type=int, help="turns [default: 9, quick 3]")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    # As the command line sets it: TensorFlow's fast kernels, for all sides of Keras.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options.turns, options.batches = (3, 8) if options.quick else (9, 24)
    options.turns = options.repeats or options.turns
    options.rows = 4096 if options.quick else 16384
    found = last_line(*measure(options), options)
    for side, rate in found["images_per_second"].items():
        print(f"{side:28} {rate:8.1f} img/s")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
